"""The first look into a run folder, without any slow import: is `run.json` there, and readable?"""

import json
from pathlib import Path
from typing import Any

from saccade.core.errors import BadRun

RUN_FORMAT = 2


def refuse_run(out: Path) -> None:
    """Raise BadRun where `out` holds a run already, which must not be written over."""
    if (out / "run.json").exists():
        hint = "Go on with it by --resume, or choose another --out."
        raise BadRun("there is a run already", location=out, hint=hint)


def scores_folder(predictions: Path) -> Path:
    """Where the scores of a file of predictions are written, unless a folder is named."""
    return predictions.with_name(f"{predictions.stem.lstrip('.')}-scored")


def refuse_other_scores(out: Path, predictions: Path) -> None:
    """Raise BadRun where `out` holds the scores of a run, or of another file of predictions."""
    message, hint = "", "Choose another --out."
    if (out / "run.json").exists():
        message = "is a run: scores of other predictions would replace its own"
    elif (out / "scores.json").exists():
        entries = read_json_of_run(out / "scores.json")
        names = {entry.get("predictions_file") for entry in entries.values()}
        if names != {str(predictions)}:
            message = f"holds the scores of another file of predictions: {min(map(str, names))}"
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        message = "holds other things than scores"
    if message:
        raise BadRun(message, location=out, hint=hint)


def check_scored(folder: Path) -> None:
    """Raise BadRun where `folder` is neither a run nor the scores of a file of predictions."""
    if (folder / "run.json").exists() or not (folder / "scores.json").exists():
        read_run_json(folder)


def read_run_json(run: Path) -> dict[str, Any]:
    """The content of a run's `run.json`, in this version's format. Raises BadRun."""
    about = read_json_of_run(run / "run.json")
    found = about.get("format") if isinstance(about, dict) else None
    if found != RUN_FORMAT:
        message = f"run format {found!r}, this version reads {RUN_FORMAT}"
        hint = "Train again, or use the version of saccade that `versions` in the file names."
        raise BadRun(message, location=run / "run.json", hint=hint)
    return dict(about)


def read_json_of_run(path: Path) -> Any:
    """A JSON file of a run folder. Raises BadRun where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        message = "no such file: this is not a run folder"
        hint = "Give the folder that `saccade train ... --out RUN` made."
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message, hint = f"not JSON ({error})", "Train again, or restore it."
    raise BadRun(message, location=path, hint=hint)
