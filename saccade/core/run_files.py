"""The first look into a run folder, without any slow import: is `run.json` there, and readable?"""

import json
from pathlib import Path
from typing import Any

from saccade.core.errors import BadRun

RUN_FORMAT = 2


def refuse_run(out: Path) -> None:
    """Raise BadRun where `out` holds a run already, which must not be written over."""
    if (out / "run.json").exists():
        raise BadRun(
            "there is a run already",
            location=out,
            hint="Go on with it by --resume, or choose another --out.",
        )


def read_run_json(run: Path) -> dict[str, Any]:
    """The content of a run's `run.json`, in this version's format. Raises BadRun."""
    about = read_json_of_run(run / "run.json")
    found = about.get("format") if isinstance(about, dict) else None
    if found != RUN_FORMAT:
        raise BadRun(
            f"run format {found!r}, this version reads {RUN_FORMAT}",
            location=run / "run.json",
            hint="Train again, or use the version of saccade that `versions` in the file names.",
        )
    return dict(about)


def read_json_of_run(path: Path) -> Any:
    """A JSON file of a run folder. Raises BadRun where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadRun(
            "no such file: this is not a run folder",
            location=path,
            hint="Give the folder that `saccade train ... --out RUN` made.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRun(
            f"not JSON ({error})", location=path, hint="Train again, or restore it."
        ) from None
