"""Where files of weights, words and vectors are: given, in one folder of them, or on a hub.

The folder is named once, `SACCADE_WEIGHTS` or `saccade --weights DIR`; everything that is
pretrained is looked for in it first. Only a hub touches the network, only when its file is not in
its cache yet, and only after one short question whether it answers at all: its own client would
retry for most of a minute.
"""

import os
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from saccade.errors import MissingWeights

FOLDER = "SACCADE_WEIGHTS"
"""Environment variable: a folder of files such as `resnet152.safetensors`."""
HUB_FILE = "model.safetensors"
PATIENCE = 5.0
"""Seconds that a hub has to answer at all."""
ADDRESSES = {
    "glove.6B": "https://nlp.stanford.edu/data/glove.6B.zip",
    "glove.42B": "https://nlp.stanford.edu/data/glove.42B.300d.zip",
    "glove.840B": "https://nlp.stanford.edu/data/glove.840B.300d.zip",
    "gpt2": "https://huggingface.co/gpt2/resolve/main/tokenizer.json",
    "bert-base-uncased": "https://huggingface.co/bert-base-uncased/resolve/main/tokenizer.json",
}
"""Where to get files of words and word vectors, by what their names begin with."""


def weights_folder() -> Path | None:
    """The folder of weights, if one is named."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else None


def in_folder(*names: str) -> Path | None:
    """The first of some files or folders that stands in the folder of weights."""
    folder = weights_folder()
    return first_of([folder / name for name in names] if folder else [])


def first_of(paths: list[Path]) -> Path | None:
    """The first path that there is."""
    return next((path for path in paths if path.exists()), None)


def find_given(name: str, what: str) -> Path:
    """A file or folder that a setting names: a path, or a name in the folder of weights.

    `what` says what it is, such as "word vectors". Raises MissingWeights with the exact name,
    where to get it and where to put it.
    """
    found = first_of([Path(name)]) or in_folder(name)
    if found is not None:
        return found
    folder = weights_folder()
    address = next((ADDRESSES[key] for key in ADDRESSES if Path(name).name.startswith(key)), None)
    fetch = f"Fetch {address} (unpack a zip file), " if address else "Get it from who made it, "
    to = f"into {folder}" if folder else f"into a folder that {FOLDER} names"
    raise MissingWeights(
        f"there are no {what}",
        where="; ".join([name, *([str(folder / name)] if folder else [])]),
        cure=f"{fetch}and put it as {Path(name).name} {to}, or give its path.",
    )


def find_pretrained(source: str, file: str = HUB_FILE) -> Path:
    """One file of a pretrained model: `source` is a folder, a folder in the folder of weights, or
    a repository of the hub, such as `gpt2`. Raises MissingWeights as `from_hub`.
    """
    name = source.rpartition("/")[2]
    found = first_of([Path(source) / file]) or in_folder(f"{source}/{file}", f"{name}/{file}")
    if found is not None:
        return found
    if not _is_repository(source):
        to = f" or as {name}/{file} into the folder that {FOLDER} names"
        raise MissingWeights(
            "no weights to be read", where=Path(source) / file, cure=f"Put {file} there,{to}."
        )
    put = f"put it as {name}/{file} into the folder that {FOLDER} names, or into the hub's cache"
    return from_hub(source, file, source, put)


def _is_repository(source: str) -> bool:
    """Could it be `owner/name` or `name` on a hub, rather than a path?"""
    return source.count("/") <= 1 and not source.startswith((".", "/", "~"))


def from_hub(repository: str, file: str, network: str, put: str) -> Path:
    """A file of a repository, from the hub's cache or else from the hub.

    `put` says where a person may put it instead. Raises MissingWeights.
    """
    try:
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    url = hf_hub_url(repository, file)
    cure = f"On a machine with network fetch {url}, {put}. For a trial: --weights random."
    if offline():
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and HF_HUB_OFFLINE is set", cure=cure
        )
    if not answers(constants.ENDPOINT):
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and the hub does not answer",
            cure=cure,
        )
    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, OSError) as error:
        what = f"the hub did not give the weights of {network}: {str(error).splitlines()[0]}"
        raise MissingWeights(what, cure=cure) from None


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
