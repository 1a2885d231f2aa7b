"""`save_pretrained`: a run as a folder to give away, which needs nothing else to answer.

The folder is a run folder as well. Left out is what a training alone needs (`last/`, checkpoints),
predictions and scores of single examples, which repeat the data set; paths of this machine, and
records that findings quote.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saccade.core.errors import BadConfig
from saccade.core.files import folder_in_one_go, link_or_copy, write_json, write_text
from saccade.core.run_files import WEIGHTS, read_scores
from saccade.features.settings import IMPORTED, PIXELS
from saccade.interop.model_card import model_card
from saccade.run_folder import BACKBONE, REDUCTION, OpenedRun, open_run, read_log
from saccade.transfer.hub_folder import CARD, CONFIG, FILES, write_config

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
"""The form of the hub's names of licences, such as cc-by-4.0."""
ABSOLUTE = r"(?:~?/(?!/)|[A-Za-z]:[\\/])"
PATHS = re.compile(
    rf"(?<=')(?<!\w'){ABSOLUTE}[^'\n]*[/\\](?=[^'/\\]*')"  # in quotes it may have blanks
    rf"|(?<![\w.~/\\]){ABSOLUTE}(?:[^\s'\"/\\]+[\\/])+"
)
"""Folders of an absolute path in a text, all but its last part."""


def save_pretrained(run: OpenedRun, folder: Path, licence: str | None = None) -> Path:
    """Write a run into a folder by the hub's conventions: see `Run.save_pretrained`."""
    check_licence(licence)
    _refuse_other_files(folder)
    from saccade.core.tensors import load_tensors  # noqa: PLC0415  torch, after cheap refusals

    load_tensors(run.path / WEIGHTS)  # BadRun where they are damaged
    header = run.header
    with folder_in_one_go(folder) as out:
        for name in (WEIGHTS.name, REDUCTION):
            if (run.path / name).exists():
                link_or_copy((run.path / name).resolve(), out / name)
        _put_backbone(run, out)
        words = run.words.to_json()
        words["vocabulary"]["tokenizer"] = without_paths(words["vocabulary"]["tokenizer"])
        write_json(out / "words.json", words)
        about = header.model_dump(mode="json") | {"data": None}
        about["findings"] = [one | {"examples": []} for one in about["findings"]]
        write_json(out / "run.json", without_paths(about))
        scores, rows = without_paths(read_scores(run.path)), without_paths(read_log(run.path))
        if scores:
            write_json(out / "scores.json", scores)
        if rows:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_text(out / "log.jsonl", "".join(lines))
        card = model_card(run, open_run(out), scores, folder.resolve().name, licence)
        write_text(out / CARD, card)
        write_config(out, header.recipe.task, header.recipe.model.kind)
    return folder


@contextmanager
def pretrained_folder(path: Path, name: str, licence: str | None) -> Iterator[Path]:
    """The folder to give away of a run folder, which is gone afterwards; one that
    `save_pretrained` made is given as it is. Raises BadConfig where `licence` cannot be put in."""
    if (path / CONFIG).exists():
        if licence is not None:
            hint = "Write the licence into its README.md, or save it again."
            raise BadConfig("has its card already", location=path, hint=hint)
        yield path
        return
    with TemporaryDirectory(dir=path.absolute().parent, prefix=".to-hub.") as place:
        yield save_pretrained(open_run(path), Path(place) / name.rpartition("/")[2], licence)


def check_licence(licence: str | None) -> None:
    """Raise BadConfig for what is no name of a licence on the hub."""
    if licence is not None and not LICENCE.fullmatch(licence):
        hint = "Write it as the hub does, in small letters: apache-2.0, cc-by-4.0, other."
        raise BadConfig(f"{licence!r} names no licence", location="licence", hint=hint)


def without_paths(value: Any) -> Any:
    """JSON without the absolute paths in its texts, of which the last part is left."""
    if isinstance(value, dict):
        return {key: without_paths(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_paths(one) for one in value]
    if not isinstance(value, str):
        return value
    if re.match(rf"{ABSOLUTE}[^/\\]+[/\\]", value):  # the whole is one, and may have blanks
        return re.split(r"[/\\]", value)[-1]
    return PATHS.sub("", value)


def _refuse_other_files(folder: Path) -> None:
    """Raise BadConfig where the folder holds anything but an earlier save, which is replaced."""
    hint = "Give a new folder."
    if folder.exists() and not folder.is_dir():
        raise BadConfig("is a file", location=folder, hint=hint)
    inside = {one.name for one in folder.iterdir()} if folder.exists() else set()
    if inside and (CONFIG not in inside or inside - {CARD, CONFIG, *FILES}):
        raise BadConfig("holds other things than a saved model", location=folder, hint=hint)
    if folder.exists() and folder.samefile(Path.cwd()):
        raise BadConfig("is the folder you are in", location=folder, hint=hint)


def _put_backbone(run: OpenedRun, out: Path) -> None:
    """The network that encodes images, so that nobody has to fetch it. Raises MissingWeights."""
    spec, kept = run.header.store.backbone, run.path / BACKBONE
    if kept.exists():
        link_or_copy(kept.resolve(), out / BACKBONE)
    elif spec.name != PIXELS and spec.library != IMPORTED:
        from saccade.features.backbones import build_backbone  # noqa: PLC0415  torch

        build_backbone(spec).save(out / BACKBONE)
