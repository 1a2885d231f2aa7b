"""Shards of a feature store: consecutive rows that are extracted apart, and then merged into one.

`saccade extract DATA ... --shard 3/16` makes the third of sixteen in `DATA/shards/NAME/3-of-16`,
in whatever process or on whatever machine. `merge_shards` makes the store of them that a single
process would have made, byte for byte: shards begin where a chunk begins, so that the network sees
the same images together. Torch is not imported here.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from saccade.core.errors import BadConfig, BadStore
from saccade.core.files import link_or_copy
from saccade.features.store import Shard, StoreHeader, complete_header
from saccade.features.store_format import (
    BACKBONE,
    MAKE_AGAIN,
    Chunk,
    checksum,
    open_array,
    read_chunks,
)
from saccade.features.store_writer import CHUNK, StoreWriter

FOLDER = "shards"
"""Beside the stores of a data folder."""


def rows_of_chunk(batch_size: int) -> int:
    """The rows after which an extraction in batches of that size closes a chunk."""
    return max(CHUNK // batch_size, 1) * batch_size


def shard_of(text: str, rows: int, batch_size: int) -> Shard:
    """The shard that `3/16` means of a store of `rows` rows. Raises BadConfig where there are fewer
    chunks than shards.
    """
    number, of = map(int, text.split("/"))
    chunk = rows_of_chunk(batch_size)
    chunks = -(-rows // chunk)
    if of > chunks:
        message = f"{rows:,} images are {chunks:,} chunks of {chunk}, too few for {of:,} shards"
        raise BadConfig(message, location="--shard", hint=f"Divide them into {chunks:,} at most.")
    start, end = (min(chunks * n // of * chunk, rows) for n in (number - 1, number))
    return Shard(number=number, of=of, start=start, end=end)


def shard_path(data: Path, name: str, shard: Shard) -> Path:
    """Where a shard of the data folder's store `name` is made."""
    return data / FOLDER / name / f"{shard.number}-of-{shard.of}"


def merge_shards(
    given: Sequence[Path], data: Path | None = None, say: Callable[[str], object] = str
) -> Path:
    """Make a store of its shards, and return its path in the data folder's `features`.

    `given` are the shards, or folders that hold them; all of them, in any order. A merge that was
    stopped goes on. The shards stay as they are. `data` is the data folder, by default the one that
    the first shard stands in. Raises BadStore for shards that are not complete, damaged, lacking,
    there twice, or not of one store.
    """
    parts = _all_shards(given)
    first = next(iter(parts))
    name, home = first.parent.name, data
    if home is None:
        if first.parent.parent.name != FOLDER:
            message = f"does not stand in DATA/{FOLDER}/NAME"
            raise BadStore(message, location=first, hint="Name the data folder with --data.")
        home = first.parents[2]
    begun = parts[first].model_copy(
        update={"shard": None, "complete": False, "command": _whole(parts[first].command)}
    )
    ids = _ids(first, begun)
    path, weights = home / "features" / name, first / BACKBONE
    with StoreWriter(path, begun, ids, weights.stat().st_size if weights.exists() else 0) as writer:
        if writer.complete:
            say(f"{path} is complete already: nothing to do.")
            return path
        if weights.exists() and not (path / BACKBONE).exists():
            link_or_copy(weights, path / BACKBONE)
        for part, header in parts.items():
            if not np.array_equal(_ids(part, begun), ids):
                hint = f"Make it again: {header.command}"
                raise BadStore("has other images than the first shard", location=part, hint=hint)
            for chunk, columns in _chunks(part, header, writer.done):
                writer.add(**columns, skipped=chunk.skipped)
                writer.close_chunk()
        writer.finish()
    say(f"{len(parts)} shards, {begun.ids_count:,} images: {path} is complete.")
    return path


def _all_shards(given: Sequence[Path]) -> dict[Path, StoreHeader]:
    """The headers of all shards of one store, in order."""
    paths = [
        path
        for one in given
        for path in ([one] if (one / "header.json").exists() else sorted(one.glob("*-of-*")))
    ]
    if not paths:
        hint = f"Give DATA/{FOLDER}/NAME, which `saccade extract --shard` has made."
        raise BadStore("holds no shards", location=given[0], hint=hint)
    headers = {path: complete_header(path) for path in dict.fromkeys(paths)}
    for path, header in headers.items():
        if header.shard is None:
            raise BadStore("is a whole store, no shard", location=path, hint="Leave it out.")
    ordered = sorted(headers, key=lambda path: _shard(headers[path]).number)
    _refuse_strange(ordered, headers)
    return {path: headers[path] for path in ordered}


def _refuse_strange(paths: Sequence[Path], headers: dict[Path, StoreHeader]) -> None:
    """Raise BadStore unless shards make up one store."""
    first, end = headers[paths[0]], 0
    numbers = [_shard(headers[path]).number for path in paths]
    of = _shard(first).of
    if lacking := sorted(set(range(1, of + 1)) - set(numbers)):
        message = f"lacks {len(lacking)} of {of} shards, such as {lacking[0]}/{of}"
        hint = f"Make it: {_whole(first.command)} --shard {lacking[0]}/{of}"
        raise BadStore(message, location=paths[0].parent, hint=hint)
    for path, header in ((path, headers[path]) for path in paths):
        for field, value in header:
            other = getattr(first, field)
            if field not in ("shard", "command") and value != other:
                message = f"was made with another {field} than {paths[0].name}"
                raise BadStore(message, location=path, hint=f"Make it again: {first.command}")
        if _shard(header).start != end:
            same = _shard(header).start < end
            message = "holds rows that another shard has" if same else "begins behind a gap"
            hint = (
                "Give each shard once, and make all with one number of them and one --batch-size."
            )
            raise BadStore(message, location=path, hint=hint)
        end = header.last_row
    if end != first.ids_count * first.views:
        message = f"the last shard ends at row {end:,} of {first.ids_count * first.views:,}"
        raise BadStore(message, location=paths[-1], hint="Make the shards with one --batch-size.")


def _shard(header: StoreHeader) -> Shard:
    assert header.shard is not None
    return header.shard


def _whole(command: str) -> str:
    """The command of an extraction without its shard."""
    words = shlex.split(command)
    if "--shard" in words:
        at = words.index("--shard")
        del words[at : at + 2]
    return shlex.join(words)


def _ids(path: Path, header: StoreHeader) -> np.ndarray:
    return np.array(open_array(path, "ids", (header.ids_count,), np.dtype(np.int64)))


def _chunks(
    path: Path, header: StoreHeader, done: int
) -> Iterator[tuple[Chunk, dict[str, np.ndarray]]]:
    """The chunks of a shard behind the first `done` rows of the whole store, with their rows."""
    hint = MAKE_AGAIN.format(header.command)
    arrays = {name: open_array(path, name, *one, hint) for name, one in header.columns().items()}
    for chunk in read_chunks(path):
        if header.first_row + chunk.start < done:
            continue
        if checksum(arrays, chunk.start, chunk.end) != chunk.crc32:
            message = f"rows {chunk.start} to {chunk.end - 1} have changed since they were written"
            raise BadStore(message, location=path, hint=hint)
        yield chunk, {name: array[chunk.start : chunk.end] for name, array in arrays.items()}
