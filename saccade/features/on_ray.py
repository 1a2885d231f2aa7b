"""Extraction on Ray: a shard of the store for each task, on the processes or machines of a cluster.

Needs `saccade[ray]`, and a data folder that every machine finds at the same path. A process or a
machine that dies costs the chunk that it was making: its shard is gone on with elsewhere.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, SaccadeError
from saccade.core.settings import checked_settings
from saccade.core.tables import optional_package
from saccade.data.folder import DataFolder
from saccade.features.extract import extract
from saccade.features.settings import ExtractSettings
from saccade.features.shards import merge_shards, rows_of_chunk

SHARDS = 4
"""Shards for each process, at least: the last ones to end should not wait long for each other."""


class ShardExtractor:
    """A process of the cluster that makes shards of a store, one after the other."""

    def __init__(self, data: str, settings: dict[str, Any]) -> None:
        self.data, self.settings = data, settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make the shard that a row names; one that was begun is gone on with."""
        path = extract(self.data, **self.settings, shard=str(row["shard"]), progress=False)
        return {"path": str(path)}


def extract_on_ray(
    data: str | Path, address: str | None = None, processes: int = 2, **settings: Any
) -> Path:
    """Extract as `extract` does, by `processes` of a Ray cluster, and return the store's path.

    Without `address` Ray is started here and ended again. The settings are those of
    `ExtractSettings`. Raises what `extract` raises; BadConfig where Ray is not installed, or the
    cluster cannot be reached.
    """
    message = "the engine ray is the package Ray, which is not installed"
    ray = optional_package("ray", "ray", message)
    optional_package("ray.data", "ray", message)  # an attribute of ray from here on
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    chosen = checked_settings(ExtractSettings, "extract", **settings)
    if chosen.shard:
        raise BadConfig("ray makes all shards itself", location="--shard", hint="Leave it out.")
    folder = DataFolder(Path(data).absolute(), image_root=chosen.image_root)
    rows = len(folder.images()) * chosen.views
    chunks = -(-rows // rows_of_chunk(chosen.batch_size or 1))  # defaults divide a chunk, as 1 does
    count = max(min(processes * SHARDS, chunks), 1)
    shards = [{"shard": f"{number}/{count}"} for number in range(1, count + 1)]
    on_gpu = choose_device(chosen.device).type == "cuda"
    given = {name: value for name, value in chosen if name not in ("shard", "progress")}
    processes = min(processes, count)
    with _cluster(ray, address, processes):
        # An actor that dies is started again, and its shard given to it or to another.
        made = ray.data.from_items(shards, override_num_blocks=count).map(
            ShardExtractor,
            fn_constructor_args=[str(folder.path), given],
            compute=ray.data.ActorPoolStrategy(size=processes),
            num_gpus=1 if on_gpu else 0,
            num_cpus=0 if on_gpu else 1,
        )
        try:
            paths = [Path(row["path"]) for row in made.iter_rows()]
        except ray.exceptions.RayError as error:
            raise _own(error) from None
    return merge_shards(paths)


@contextmanager
def _cluster(ray: Any, address: str | None, processes: int) -> Iterator[None]:
    """A connection to a Ray cluster; one that was started here is ended with it."""
    # Of a cluster that runs already the number of processors is its own.
    where = {"address": address} if address else {"address": "local", "num_cpus": processes}
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises plain ones
        hint = "Give the address of a running cluster, such as HOST:6379, or auto on its head."
        message = f"cannot be reached ({error})"
        raise BadConfig(message, location=address or "ray", hint=hint) from None
    try:
        yield
    finally:
        ray.shutdown()


def _own(error: BaseException) -> BaseException:
    """The error of this package behind one of Ray's, or that one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SaccadeError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error
