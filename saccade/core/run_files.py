"""The first look into a run folder, without any slow import: is `run.json` there, and readable?

And into the folder that the explanations of a run are to be written into.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from saccade.core.errors import BadConfig, BadData, BadRun
from saccade.core.files import LOCK
from saccade.core.tasks import TASK_INFO, TaskInfo

RUN_FORMAT = 2
WEIGHTS = Path("model.safetensors")
"""Of the best epoch."""
LAST = Path("last/state.safetensors")
"""What an exact resume needs."""
MEMBERS = "members"
"""Folder of the runs that `train` makes an ensemble of: `seed-N`, or `fold-N`."""
FOLDS = "folds"
"""Folder of the data folders of the folds, beside it."""
EXPLANATIONS = ("index.html", "explained.jsonl", "images", "maps")
"""What `explain` writes: the page, the same as data, images, and maps over them."""


FAITHFULNESS = "faithfulness.json"
"""What `faithfulness` found, by split."""


def selection_score(row: Mapping[str, Any]) -> float:
    """The score in an epoch's row of `log.jsonl` that the best epoch is chosen by: of the epoch
    alone, or smoothed where the recipe says so."""
    return float(row.get("smoothed_score", row["score"]))


def checkpoint_interval(keep: str) -> int:
    """The epochs between two checkpoints that `train --keep` asks for; 0 where it keeps only the
    best. Raises BadConfig."""
    every = re.fullmatch(r"every ([1-9]\d{0,8})", keep)
    intervals = {"best": 0, "all": 1} | ({keep: int(every[1])} if every else {})
    if keep not in intervals:
        message = f"--keep {keep!r} is not best, all or 'every N'"
        raise BadConfig(message, hint="For every fifth epoch write --keep 'every 5'.")
    return intervals[keep]


def refuse_run(out: Path) -> None:
    """Raise BadRun where `out` holds a run already, which must not be written over.

    One that ended before its first step is no loss: another may take its place.
    """
    for run in (out, *begun_members(out)):
        if (run / WEIGHTS).exists() or ((run / "run.json").exists() and _is_trained(run / LAST)):
            hint = "Go on with it by --resume, or choose another --out."
            if run != out:
                hint = "It is a member: give --resume and its --seeds or --folds, or another --out."
            raise BadRun("there is a run already", location=run, hint=hint)


def refuse_other_processes(run: Path, processes: int) -> None:
    """Raise BadRun where a run that goes on was trained by another number of processes: each has
    random numbers of its own, so an exact resume needs as many."""
    try:
        before = json.loads(read_metadata(run / LAST)["progress"])["processes"]
    except (LookupError, TypeError, ValueError, RecursionError):
        before = 1  # of one, or of something else, which is told where all of it is read
    if before != processes:
        message = f"this run is trained by {before} processes together, and there would be "
        hint = f"Resume it with {before} (--devices times --nodes), or begin a new one: another "
        raise BadRun(f"{message}{processes} now", location=run, hint=f"{hint}--out.")


def begun_members(out: Path) -> list[Path]:
    """The runs of an ensemble that `train` has begun below `out`, by seed or fold."""
    begun = [file.parent for file in (out / MEMBERS).glob("*/run.json")]
    return sorted(begun, key=lambda run: (len(run.name), run.name))


def _is_trained(state: Path) -> bool:
    """Whether a run was saved after a step; True where no file, or a damaged one, tells."""
    if not state.exists():
        return True
    try:
        return int(json.loads(read_metadata(state)["progress"])["progress"]["step"]) > 0
    except (BadRun, LookupError, TypeError, ValueError, RecursionError):
        return True


def refuse_unsaved(run: Path, *, ensemble: bool = False) -> None:
    """Raise BadRun where there is no run to resume, or one that ended before it was saved; of an
    `ensemble` where no member was begun."""
    begun = begun_members(run)
    if bool(begun) != ensemble:
        message = "is an ensemble" if begun else "no ensemble was begun here"
        hint = "Give its --seeds or --folds again." if begun else "Leave out --resume."
        raise BadRun(message, location=run, hint=hint)
    if begun:
        return
    if lacking := [file for file in (Path("run.json"), LAST) if not (run / file).exists()]:
        message = "there is no such file: no run was begun here, or it ended before it was saved"
        hint = "Give the --out of the run; or begin a new one: without --resume, another --out."
        raise BadRun(message, location=run / lacking[0], hint=hint)


@contextmanager
def disk_errors_of(out: Path) -> Iterator[None]:
    """Raise BadRun for errors of the disk in a training, with the command that goes on."""
    try:
        yield
    except OSError as refused:
        message = f"cannot be read or written: {refused.strerror or refused}"
        begun = (out / "run.json").exists() or begun_members(out)
        again = " with --resume" if begun else ""
        hint = f"Make room, or mend that; the same command{again} goes on from what was saved last."
        raise BadRun(message, location=refused.filename or out, hint=hint) from None


def read_metadata(path: Path) -> dict[str, str]:
    """Words that a file of tensors holds about them. Raises BadRun."""
    if not path.exists():
        hint = "Train first: saccade train RECIPE --data DATA --out RUN"
        raise BadRun("there are no weights yet", location=path, hint=hint)
    with whole_tensors(path), safe_open(path, framework="numpy") as stream:
        found: dict[str, str] = stream.metadata() or {}
        return dict(json.loads(found["about"])) if "about" in found else found


@contextmanager
def whole_tensors(path: Path) -> Iterator[None]:
    """Raise BadRun where the file of tensors that is read is damaged."""
    try:
        yield
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        hint = "Copy it again from where it came, or train again."
        raise BadRun(f"not a whole safetensors file ({error})", location=path, hint=hint) from None


def scores_folder(predictions: Path) -> Path:
    """Where the scores of a file of predictions are written, unless a folder is named."""
    return predictions.with_name(f"{predictions.stem.lstrip('.')}-scored")


def refuse_other_scores(out: Path, predictions: Path) -> None:
    """Raise BadRun where `out` holds the scores of a run, or of another file of predictions."""
    message, hint = "", "Choose another --out."
    if (out / "run.json").exists():
        message = "is a run: scores of other predictions would replace its own"
    elif (out / "scores.json").exists():
        names = {one.get("predictions_file") for one in read_scores(out).values()}
        if names != {str(predictions)}:
            message = f"holds the scores of another file of predictions: {min(map(str, names))}"
    elif out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= {LOCK}):
        message = "holds other things than scores"
    if message:
        raise BadRun(message, location=out, hint=hint)


def read_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """The content of `scores.json`, by split; nothing where there is none. Raises BadRun."""
    hint = "Delete that file, and score again: saccade evaluate RUN, or score FILE."
    return _read_splits(folder / "scores.json", hint)


def read_faithfulness(run: Path) -> dict[str, dict[str, Any]]:
    """The content of `faithfulness.json`, by split, likewise."""
    hint = "Delete that file, and measure again: saccade faithfulness RUN."
    return _read_splits(run / FAITHFULNESS, hint)


def faithfulness_sentence(run: Path, split: str | None = None) -> str | None:
    """What a run's maps are worth, where that was measured: on a split, else on any other.

    Raises BadRun as `read_faithfulness`.
    """
    found = read_faithfulness(run)
    entry = found.get(split or "", next(iter(found.values()), {}))
    return entry.get("sentence")


def _read_splits(path: Path, hint: str) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    found = read_json_of_run(path, hint)
    if not isinstance(found, dict) or not all(isinstance(of, dict) for of in found.values()):
        raise BadRun("no scores by split", location=path, hint=hint)
    return found


def check_scored(folder: Path) -> None:
    """Raise BadRun where `folder` is neither a run nor the scores of a file of predictions."""
    if (folder / "run.json").exists() or not (folder / "scores.json").exists():
        read_run_json(folder)


def named(words: Sequence[str]) -> dict[str, Path]:
    """Run folders by the name that they are shown under, from RUN or NAME=RUN.

    By default a run is called as its folder is, with the folder around it where two would be
    called the same. Raises BadConfig for a name or a run that stands there twice.
    """
    paths = list[tuple[str, Path]]()  # the name is empty where none was given
    for word in words:
        name, equals, rest = word.partition("=")
        is_named = name and equals and not Path(word).exists()
        paths.append((name, Path(rest)) if is_named else ("", Path(word)))
    folders = [path.resolve().name for name, path in paths if not name]
    found: dict[str, Path] = {}
    for name, path in paths:
        whole = path.resolve()
        twice = folders.count(whole.name) > 1
        called = name or (f"{whole.parent.name}/{whole.name}" if twice else whole.name)
        if called in found or whole in (other.resolve() for other in found.values()):
            hint = "Name each run once; NAME=RUN gives it a name."
            raise BadConfig(f"{called} is there twice", hint=hint)
        found[called] = path
    return found


def read_run_json(run: Path) -> dict[str, Any]:
    """The content of a run's `run.json`, in this version's format. Raises BadRun."""
    about = read_json_of_run(run / "run.json")
    found = about.get("format") if isinstance(about, dict) else None
    if found != RUN_FORMAT:
        message = f"run format {found!r}, this version reads {RUN_FORMAT}"
        hint = "Train again, or use the version of saccade that `versions` in the file names."
        raise BadRun(message, location=run / "run.json", hint=hint)
    return dict(about)


def info_of_run(run: Path) -> TaskInfo:
    """The facts of the task that a run is of. Raises BadRun."""
    recipe = read_run_json(run).get("recipe") or {}
    for info in TASK_INFO.values():
        if recipe.get(info.section):
            return info
    hint = "The file was changed by hand or by another version; train again."
    raise BadRun("the recipe is of no task", location=run / "run.json", hint=hint)


def refuse_other_task(run: Path, *, asks_question: bool, needs: str = "") -> None:
    """Raise BadConfig where a run answers questions and should write captions, or the other way;
    `needs` is what else could be done about it."""
    info = info_of_run(run)
    if info.asks_question != asks_question:
        message = "this run answers questions" if info.asks_question else "this run writes captions"
        hint = needs or f"Give: saccade {info.usage.format(run=shlex.quote(str(run)))}"
        raise BadConfig(message, location=run, hint=hint)


def read_json_of_run(path: Path, hint: str = "Train again, or restore it.") -> Any:
    """A JSON file of a run folder. Raises BadRun where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        message = "no such file: this is not a run folder"
        hint = "Give the folder that `saccade train ... --out RUN` made."
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits are one, too
        message = f"not JSON ({error})"
    raise BadRun(message, location=path, hint=hint)


def refuse_replacing(out: Path, inputs: Iterable[Path]) -> None:
    """Raise BadConfig where `out` is one of the inputs, or a file of a run or data folder."""
    for path in inputs if out.exists() else ():
        is_part = any((path / name).is_file() for name in ("run.json", "dataset.json"))
        is_part = is_part and out.resolve().parent == path.resolve()
        if is_part or (path.exists() and out.samefile(path)):
            hint = "Give the name of a new file."
            raise BadConfig("what is read would be replaced", location=out, hint=hint)


def refuse_other_files(out: Path) -> None:
    """Raise BadData where `out` holds anything but earlier explanations, which are replaced."""
    hint = "Give another --out: a new folder, or one of earlier explanations."
    if out.exists() and not out.is_dir():
        raise BadData("is a file", location=out, hint=hint)
    if out.exists() and out.samefile(Path.cwd()):
        raise BadData("is the folder you are in, which cannot be replaced", location=out, hint=hint)
    inside = {one.name for one in out.iterdir()} if out.exists() else set()
    if strange := inside.difference(EXPLANATIONS):
        message = f"holds other things than explanations, such as {min(strange)}"
        raise BadData(message, location=out, hint=hint)
