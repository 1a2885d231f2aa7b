"""The folder that a run is carried in by the conventions of the Hugging Face hub.

It is a run folder, cut down to what answers need, with two more files: `README.md`, the model card,
and `config.json`, written last, without which the folder does not count:

    saccade_format 1
    library_name, task, model_type
    files          {name: {bytes, sha256}} of all files but these two

What `config.json` says is from anywhere and is not trusted: only the names below are ever read.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError

from saccade.core.errors import BadBundle
from saccade.core.files import sha256_of, write_json
from saccade.core.formatting import size_in_words
from saccade.core.settings import Settings, first_problem
from saccade.core.tasks import TaskName
from saccade.transfer.manifest import Sha256, Size

CONFIG = "config.json"
CARD = "README.md"
FORMAT = 1
NEEDED = ("run.json", "words.json", "model.safetensors")
FILES = (*NEEDED, "backbone.safetensors", "reduction.safetensors", "scores.json", "log.jsonl")
"""All that may be in such a folder, beside card and config."""
MAX_TEXT = 200_000_000
"""Bytes of a file that is no safetensors: it is read whole."""
MAX_CONFIG = 1_000_000
COPY_AGAIN = "Get the folder again from where it came."


class HubFile(Settings):
    """A file of the folder."""

    bytes: Size
    sha256: Sha256


class HubConfig(Settings):
    """The content of `config.json`; programs of others may add to it."""

    model_config = ConfigDict(extra="ignore")

    saccade_format: Literal[1]
    library_name: Literal["saccade"]
    task: TaskName
    model_type: str
    """The kind of the model, as in `saccade list models`."""
    files: dict[str, HubFile]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files.values())


def write_config(folder: Path, task: TaskName, model_type: str) -> None:
    """Write `config.json` for the files that are in the folder."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in FILES
        if (folder / name).exists()
    }
    about: dict[str, Any] = {"saccade_format": FORMAT, "library_name": "saccade"}
    write_json(folder / CONFIG, about | {"task": task, "model_type": model_type, "files": files})


def read_config(folder: Path) -> HubConfig:
    """Read and check `config.json`. Raises BadBundle for one that is missing, of another library,
    or names a file that such a folder cannot have."""
    path = folder / CONFIG
    hint = "Give a folder or repository that `save_pretrained` of saccade made."
    try:
        if path.stat().st_size > MAX_CONFIG:
            message = f"has {size_in_words(path.stat().st_size)}, which no config of saccade has"
            raise BadBundle(message, location=path, hint=hint)
        config = HubConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        hint += " A run folder is opened by saccade.load."
        raise BadBundle("there is none", location=path, hint=hint) from None
    except OSError as error:
        raise BadBundle(f"cannot be read ({error.strerror})", location=path, hint=hint) from None
    except ValidationError as error:
        message = f"is no config of saccade: {first_problem(error, 'it')}"
        raise BadBundle(message, location=path, hint=hint) from None
    if unknown := [name for name in config.files if name not in FILES]:
        message = f"names {unknown[0][:80]!r}, which no model of saccade has"
        hint = f"Do not use it. There are only: {', '.join(FILES)}."
        raise BadBundle(message, location=path, hint=hint)
    if missing := [name for name in NEEDED if name not in config.files]:
        raise BadBundle(f"names no {missing[0]}", location=path, hint=COPY_AGAIN)
    for name, file in config.files.items():
        if file.bytes > MAX_TEXT and not name.endswith(".safetensors"):
            message = f"names a {name} of {size_in_words(file.bytes)}"
            hint = f"Do not use it: a text of a model has {size_in_words(MAX_TEXT)} at most."
            raise BadBundle(message, location=path, hint=hint)
    return config


def check_folder(folder: Path) -> HubConfig:
    """Compare every file with `config.json`, which is returned. Raises BadBundle for one that is
    missing or another."""
    config = read_config(folder)
    for name, file in config.files.items():
        path = folder / name
        if not path.is_file():
            raise BadBundle("is missing", location=path, hint=COPY_AGAIN)
        if (size := path.stat().st_size) != file.bytes:
            message = f"has {size:,} bytes, {CONFIG} says {file.bytes:,}"
            raise BadBundle(message, location=path, hint=COPY_AGAIN)
        if sha256_of(path) != file.sha256:
            message = f"is not the file that {CONFIG} names: its SHA-256 is another"
            raise BadBundle(message, location=path, hint=COPY_AGAIN)
    return config


def files_of(folder: Path) -> dict[str, int]:
    """Names and bytes of all files, card and config first. Raises BadBundle."""
    names = [CARD, CONFIG, *check_folder(folder).files]
    if not (folder / CARD).is_file():
        hint = "A model is not given away without its card: save it again."
        raise BadBundle("is missing", location=folder / CARD, hint=hint)
    return {name: (folder / name).stat().st_size for name in names}
