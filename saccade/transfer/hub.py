"""Models on the Hugging Face hub, or one of its interface: fetched when asked, sent when told to.

`huggingface_hub` does the work: its cache, its tokens (`hf auth login`, `HF_TOKEN`), its progress
bars, `HF_ENDPOINT` and `HF_HUB_OFFLINE`. It goes on where the line was cut; a file whose download
was killed begins anew. No other file of a repository than those that a model of saccade has is ever
asked for.
"""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub  # imports the parts that are used, when they are used
from huggingface_hub import constants

from saccade.core.errors import BadBundle, BadConfig, BadDownload, SaccadeError, SaccadeWarning
from saccade.core.files import refuse_small_disk, sha256_of
from saccade.core.formatting import size_in_words
from saccade.core.weights import answers
from saccade.transfer.hub_folder import CONFIG, MAX_CONFIG, read_config

MAX_BYTES = 10_000_000_000
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN, to an account that may do it."
MAY_NOT = (401, 403)
"""Status codes by which the hub refuses a token, or what it may do."""


def check_repository(name: str) -> None:
    """Raise BadConfig for what is no name of a repository: "org/name"."""
    part = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?"
    if not re.fullmatch(rf"{part}/{part}", name, re.ASCII) or ".." in name or "--" in name:
        hint = "Write ORG/NAME, or the path of a folder."
        raise BadConfig(f"{name!r} names neither a folder nor a repository", hint=hint)


def fetch_model(repository: str, revision: str | None, max_bytes: int = MAX_BYTES) -> Path:
    """A model's files, in the hub's cache; those that are there are not fetched again.

    `revision` is a branch, tag or commit, by default the newest. Without a network, what was
    fetched before is used, with a warning. Raises BadConfig, BadDownload for what cannot be had,
    BadBundle for what is damaged, unsafe or more than `max_bytes`.
    """
    check_repository(repository)
    offline = _why_offline()
    config = _file(repository, CONFIG, revision, MAX_CONFIG, offline)
    folder, commit = config.parent, config.parent.name
    if offline and not constants.HF_HUB_OFFLINE:
        note = f"{repository}: {offline}; commit {commit[:12]} is used, which was fetched before"
        warnings.warn(note, SaccadeWarning, stacklevel=3)
    about = read_config(folder)
    if about.bytes > max_bytes:
        message = f"has {size_in_words(about.bytes)}, more than {size_in_words(max_bytes)}"
        hint = "If so much is meant, give max_bytes."
        raise BadBundle(message, location=repository, hint=hint)
    needed = sum(file.bytes for name, file in about.files.items() if not (folder / name).exists())
    refuse_small_disk(BadDownload, folder, repository, needed, "set HF_HOME to another disk")
    for name, file in about.files.items():
        path = _file(repository, name, commit, file.bytes, offline)
        if sha256_of(path) != file.sha256:
            path.resolve().unlink()  # else the cache would have it for ever
            path.unlink(missing_ok=True)
            message = f"{name} is not the file that {CONFIG} names: its SHA-256 is another"
            hint = "It was deleted from the cache; give the same again."
            raise BadDownload(message, location=repository, hint=hint)
    return folder


def _why_offline() -> str | None:
    """Why the hub is not asked; None where it answers."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host = constants.ENDPOINT.split("/")[2]
    return None if answers(constants.ENDPOINT) else f"{host} does not answer"


def _file(repository: str, name: str, revision: str | None, most: int, offline: str | None) -> Path:
    """A file of a repository. Raises BadBundle, before it is fetched, for one of more bytes."""
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415 - 0.2 s

    asked: dict[str, Any] = {"repo_id": repository, "filename": name, "revision": revision}
    if offline:
        try:
            path = huggingface_hub.hf_hub_download(**asked, local_files_only=True)
        except LocalEntryNotFoundError:
            message = f"{name} is not in the hub's cache, and {offline}"
            hint = "Run it once on a machine with network, or give the path of a folder."
            raise BadDownload(message, location=repository, hint=hint) from None
        return Path(path)
    with hub_errors(repository, f"{name} cannot be fetched"):
        found = huggingface_hub.hf_hub_download(**asked, dry_run=True)
        if found.file_size is None or found.file_size > most:
            size = size_in_words(found.file_size) if found.file_size else "an unknown size"
            message = f"{name} has {size}, {size_in_words(most)} at most are expected"
            raise BadBundle(message, location=repository, hint="Do not use it.")
        return Path(huggingface_hub.hf_hub_download(**asked))


@contextmanager
def hub_errors(repository: str, message: str) -> Iterator[None]:
    """Raise BadDownload for whatever the hub, or the way to it, refuses."""
    try:
        yield
    except SaccadeError:
        raise
    except Exception as error:  # each library of networking has its own
        status = getattr(getattr(error, "response", None), "status_code", None)
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:200].rstrip(".") or type(cause).__name__
        hint = "Give the same again later: files that are whole are not sent or fetched again."
        if type(error).__name__ in {"RepositoryNotFoundError", "GatedRepoError"}:
            reason, hint = "there is no such repository, or it is not open to you", LOG_IN
        elif type(error).__name__ in {"RevisionNotFoundError", "RemoteEntryNotFoundError"}:
            hint = "Check the name and the revision; save_pretrained of saccade makes such models."
        elif status in MAY_NOT:
            reason, hint = f"the hub refuses the token ({status})", LOG_IN
        raise BadDownload(f"{message}: {reason}", location=repository, hint=hint) from None


def check_push() -> None:
    """Raise BadConfig where nothing can be sent."""
    if constants.HF_HUB_OFFLINE:
        raise BadConfig("HF_HUB_OFFLINE is set", hint="Unset it to send a model.")
    if huggingface_hub.get_token() is None:
        raise BadConfig("there is no token of the hub", hint=LOG_IN)


def push_model(folder: Path, repository: str, names: Iterable[str], *, public: bool) -> str:
    """Send the files of a folder as one commit; returns its address.

    The repository is made where there is none, private unless `public`. Raises BadConfig where it
    is there and public, and `public` was not said, BadDownload for whatever the hub refuses.
    """
    api, message = huggingface_hub.HfApi(), "cannot be sent"
    if offline := _why_offline():
        raise BadDownload(f"{message}: {offline}", location=repository, hint="Try again later.")
    with hub_errors(repository, message):
        api.create_repo(repository, private=not public, exist_ok=True)
        if not (public or api.model_info(repository).private):
            hint = "Give --public (public=True) to agree that everybody sees it."
            raise BadConfig("the repository is public", location=repository, hint=hint)
        added = [huggingface_hub.CommitOperationAdd(name, folder / name) for name in names]
        title = "Model of saccade"
        return str(api.create_commit(repository, added, commit_message=title).commit_url)
