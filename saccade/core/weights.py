"""Where files of weights, words and vectors are: given, in one folder of them, or on a hub.

The folder is named once, `SACCADE_WEIGHTS` or `saccade --weights DIR`; everything that is
pretrained is looked for in it first. Only a hub touches the network, only when its file is not in
its cache yet, and only after one short question whether it answers at all: its own client would
retry for most of a minute.
"""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from saccade.core.errors import MissingWeights

FOLDER = "SACCADE_WEIGHTS"
"""Environment variable: a folder of files such as `resnet152.safetensors`."""
HUB_FILE = "model.safetensors"
PATIENCE = 5.0
"""Seconds that a hub has to answer at all."""
ADDRESSES = {
    "glove.6B": "https://nlp.stanford.edu/data/glove.6B.zip",
    "glove.42B": "https://nlp.stanford.edu/data/glove.42B.300d.zip",
    "glove.840B": "https://nlp.stanford.edu/data/glove.840B.300d.zip",
    "GoogleNews-vectors": "https://code.google.com/archive/p/word2vec/ (it links the file)",
    "wiki-news-300d-1M.vec": "https://dl.fbaipublicfiles.com/fasttext/vectors-english/"
    "wiki-news-300d-1M.vec.zip",
    "crawl-300d-2M.vec": "https://dl.fbaipublicfiles.com/fasttext/vectors-english/"
    "crawl-300d-2M.vec.zip",
}
"""Where to get files of word vectors, by what their names begin with."""
FASTTEXT = re.compile(r"(cc\.[a-z-]+\.300\.vec)(?:\.gz)?")
"""fastText's vectors of 157 languages, such as cc.zh.300.vec.gz."""
FASTTEXT_SITE = "https://dl.fbaipublicfiles.com/fasttext/vectors-crawl"
REPOSITORIES = {
    name.rpartition("/")[2]: name
    for name in (
        *("gpt2", "bert-base-uncased", "Salesforce/blip-vqa-base"),
        "google/vit-base-patch16-224-in21k",
    )
}
"""Models that recipes name, by the last part of their name, which is their folder's."""


def weights_folder() -> Path | None:
    """The folder of weights, if one is named. Raises MissingWeights where that is a file."""
    named = os.environ.get(FOLDER)
    folder = Path(named).expanduser() if named else None
    if folder is not None and folder.is_file():
        raise MissingWeights(
            f"{FOLDER}, which saccade --weights sets, names a file; it is a folder of such files",
            location=folder,
            hint="Name the folder; a single file is given behind the verb: extract --weights FILE.",
        )
    return folder


def in_folder(*names: str) -> Path | None:
    """The first of some files or folders that stands in the folder of weights."""
    folder = weights_folder()
    return first_of([folder / name for name in names] if folder else [])


def first_of(paths: list[Path]) -> Path | None:
    """The first path that there is."""
    return next((path for path in paths if path.exists()), None)


def fetch_and_put(addresses: Sequence[str], names: Sequence[str], otherwise: str) -> str:
    """What a person is to do who lacks files: what to fetch, and which name and place it gets.

    `otherwise` is another way, a part of a sentence. An address that is not known is empty.
    """
    fetch = " and ".join(filter(None, addresses))
    one = len(names) == 1
    folder = weights_folder()
    if folder is None:
        place = f"as {' and '.join(names)} into a folder that {FOLDER} or saccade --weights names"
    else:
        place = f"as {' and '.join(str(folder / name) for name in names)}"
        place += "" if folder.is_dir() else f" ({FOLDER} names that folder, it is not there yet)"
    begin = f"On a machine with network fetch {fetch}" if fetch else "Get it from who made it"
    inside = f", unpack {Path(names[0]).name} from it" if fetch.endswith(".zip") else ""
    return f"{begin}{inside} and put {'it' if one else 'them'} {place}, or {otherwise}."


def find_given(name: str, what: str, file: str = "") -> Path:
    """A file or folder that a setting names: a path, or a name in the folder of weights.

    `what` says what it is, such as "word vectors"; `file` is the one that a folder has to hold.
    Raises MissingWeights with the exact name, where to get it and where to put it.
    """
    found = first_of([Path(name)]) or in_folder(name)
    if found is not None:
        return found
    folder, short = weights_folder(), Path(name).name
    known = REPOSITORIES.get(short, "") if file else ""
    address = hf_hub_url(known, file) if known else _address_of(short)
    put = short if not file or short == file else f"{short}/{file}"
    raise MissingWeights(
        f"there are no {what}",
        location="; ".join(dict.fromkeys([name, *([str(folder / name)] if folder else [])])),
        hint=fetch_and_put([address], [put], "give the path of where it is"),
    )


def _address_of(name: str) -> str:
    """Where a file of word vectors is published; empty if nobody knows."""
    if match := FASTTEXT.fullmatch(name):
        return f"{FASTTEXT_SITE}/{match[1]}.gz"
    return next((ADDRESSES[key] for key in ADDRESSES if name.startswith(key)), "")


def find_pretrained(source: str, file: str = HUB_FILE) -> Path:
    """One file of a pretrained model: `source` is a folder, a folder in the folder of weights, or
    a repository of the hub, such as `gpt2`. Raises MissingWeights as `from_hub`.
    """
    name = Path(source).name
    found = first_of([Path(source) / file]) or in_folder(f"{source}/{file}", f"{name}/{file}")
    if found is not None:
        return found
    repository = source if _is_repository(source) else REPOSITORIES.get(name, "")
    hint = fetch_and_put(
        [hf_hub_url(repository, file) if repository else ""],
        [f"{name}/{file}"],
        f"say which folder holds it in place of {source} (none: random weights)",
    )
    if not _is_repository(source):
        message = f"there is no {file}, the weights of a pretrained model"
        raise MissingWeights(message, location=Path(source) / file, hint=hint)
    return from_hub(source, file, source, hint)


def _is_repository(source: str) -> bool:
    """Could it be `owner/name` or `name` on a hub, rather than a path?"""
    return source.count("/") <= 1 and not source.startswith((".", "/", "~"))


def from_hub(repository: str, file: str, network: str, hint: str) -> Path:
    """A file of a repository, from the hub's cache or else from the hub.

    `cure` says how a person may get it instead. Raises MissingWeights.
    """
    try:
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if offline():
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and HF_HUB_OFFLINE is set", hint=hint
        )
    if not answers(constants.ENDPOINT):
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and the hub does not answer",
            hint=hint,
        )
    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, OSError) as error:
        message = f"the hub did not give the weights of {network}: {str(error).splitlines()[0]}"
        raise MissingWeights(message, hint=hint) from None


def offline() -> bool:
    """Did somebody say that no hub shall be asked?"""
    return constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


def answers(address: str) -> bool:
    """Is anybody there? An error page is an answer too."""
    question = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(question, timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
