"""Search for pretrained weights, words and vectors: by path, in one folder of them, or on a hub.

The folder is `SACCADE_WEIGHTS` or `saccade --weights DIR`; it comes first for everything that is
pretrained. The network is used only for a file of the hub that is not in its cache, and only after
one short request whether the hub answers: its own client would retry for most of a minute.
"""

import os
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub  # imports the parts that are used, when they are used
from huggingface_hub import constants

from saccade.core.errors import MissingWeights

FOLDER = "SACCADE_WEIGHTS"
"""Environment variable: a folder of files such as `resnet152.safetensors`."""
HUB_FILE = "model.safetensors"
SUFFIXES = (".safetensors", ".pth")
TIMEOUT = 5.0
"""Seconds that a hub has to answer."""
OTHERWISE = "give it to extract with --weights FILE (--weights random is for trials)"
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
"""Addresses of files of word vectors, by what their names begin with."""
FASTTEXT = re.compile(r"(cc\.[a-z-]+\.300\.vec)(?:\.gz)?")
"""fastText's vectors of 157 languages, such as cc.zh.300.vec.gz."""
FASTTEXT_SITE = "https://dl.fbaipublicfiles.com/fasttext/vectors-crawl"
REPOSITORIES = {
    "gpt2": "gpt2",
    "bert-base-uncased": "bert-base-uncased",
    "blip-vqa-base": "Salesforce/blip-vqa-base",
    "vit-base-patch16-224-in21k": "google/vit-base-patch16-224-in21k",
}
"""Models that recipes name, by the last part of their name, which is also their folder's."""


def weights_folder() -> Path | None:
    """The folder of weights, if one is named. Raises MissingWeights where that is a file."""
    named = os.environ.get(FOLDER)
    folder = Path(named).expanduser() if named else None
    if folder is not None and folder.is_file():
        message = f"{FOLDER}, which saccade --weights sets, names a file; it is a folder of them"
        hint = "Name the folder; a single file is given behind the verb: extract --weights FILE."
        raise MissingWeights(message, location=folder, hint=hint)
    return folder


def in_folder(*names: str) -> Path | None:
    """The first of some names that the folder of weights has."""
    folder = weights_folder()
    return first_of([folder / name for name in names] if folder else [])


def first_of(paths: list[Path]) -> Path | None:
    """The first path that exists."""
    return next((path for path in paths if path.exists()), None)


def fetch_and_put(addresses: Sequence[str], names: Sequence[str], otherwise: str) -> str:
    """A hint for someone who lacks files: what to fetch, and the name and place it gets.

    `otherwise` is another way, a part of a sentence. An unknown address is empty.
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


def find_given(name: str, kind: str, file: str = "") -> Path:
    """A file or folder that a setting names: a path, or a name in the folder of weights.

    `kind` says what it is, such as "word vectors"; `file` is the one that a folder has to hold.
    Raises MissingWeights with the exact name, where to get it and where to put it.
    """
    found = first_of([Path(name)]) or in_folder(name)
    if found is not None:
        return found
    folder, short = weights_folder(), Path(name).name
    known = REPOSITORIES.get(short, "") if file else ""
    if known:
        address = huggingface_hub.hf_hub_url(known, file)
    elif match := FASTTEXT.fullmatch(short):
        address = f"{FASTTEXT_SITE}/{match[1]}.gz"
    else:
        address = next((ADDRESSES[key] for key in ADDRESSES if short.startswith(key)), "")
    put = short if not file or short == file else f"{short}/{file}"
    hint = fetch_and_put([address], [put], "give the path of where it is")
    searched = "; ".join(dict.fromkeys([name, *([str(folder / name)] if folder else [])]))
    raise MissingWeights(f"there are no {kind}", location=searched, hint=hint)


def find_network(
    network: str, weights: str, names: Sequence[str], address: str, fetch: Callable[[str], Path]
) -> Path | None:
    """The weights file of a backbone; None for `weights` "random".

    Else `weights` is a file, a folder that has one of `names`, or either in the folder of weights;
    "hub" takes one of `names` from there, or what `fetch` returns, which is given the hint for its
    error. `address` is for messages. Raises MissingWeights.
    """
    if weights == "random":
        return None
    file = address.rpartition("/")[2]
    # The name that the file gets where it is put: its own, or the one with its suffix.
    put = file if file in names else next((n for n in names if n.endswith(file[-4:])), names[0])
    if weights == "hub":
        return in_folder(*names) or fetch(fetch_and_put([address], [put], OTHERWISE))
    folder = weights_folder()
    given = [Path(weights)] + ([folder / weights] if folder else [])
    found, home = first_of(given), given[-1].parent
    if found is not None and found.is_dir():
        given, home = [found / name for name in names], found
        found = first_of(given)
    if found is None:
        get = f"Weights of {network} are at {address}: save them" if address else "Put the file"
        option = f"--weights {shlex.quote(str(home / put))}"
        hint = f"Is the name right? {get} as {home / put} and give {option}."
        searched = "; ".join(dict.fromkeys(map(str, given)))
        raise MissingWeights(f"no weights file {given[0].name!r}", location=searched, hint=hint)
    return found


def find_pretrained(source: str, file: str = HUB_FILE) -> Path:
    """One file of a pretrained model: `source` is a folder, a folder in the folder of weights, or
    a repository of the hub, such as `gpt2`. Raises MissingWeights as `from_hub`.
    """
    name = Path(source).name
    found = first_of([Path(source) / file]) or in_folder(f"{source}/{file}", f"{name}/{file}")
    if found is not None:
        return found
    # On a hub it can be `owner/name` or `name`; anything else is a path.
    on_hub = source.count("/") <= 1 and not source.startswith((".", "/", "~"))
    repository = source if on_hub else REPOSITORIES.get(name, "")
    hint = fetch_and_put(
        [huggingface_hub.hf_hub_url(repository, file) if repository else ""],
        [f"{name}/{file}"],
        f"say which folder holds it in place of {source} (none: random weights)",
    )
    if not on_hub:
        message = f"there is no {file}, the weights of a pretrained model"
        raise MissingWeights(message, location=Path(source) / file, hint=hint)
    return from_hub(source, file, source, hint)


def from_hub(repository: str, file: str, network: str, hint: str) -> Path:
    """A file of a repository, from the hub's cache or else from the hub.

    `hint` is for someone who has to get it in another way. Raises MissingWeights.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415 - 0.2 s

    try:
        return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=True))
    except LocalEntryNotFoundError:
        message = f"weights of {network} are not in the hub's cache"
    with network_errors(message, constants.ENDPOINT, hint):
        return Path(huggingface_hub.hf_hub_download(repository, file))


@contextmanager
def network_errors(message: str, address: str, hint: str) -> Iterator[None]:
    """Raise MissingWeights where the network cannot be used, or does not give a file."""
    host = address.split("/")[2]
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise MissingWeights(f"{message} and HF_HUB_OFFLINE is set", hint=hint)
    if not answers(address):
        raise MissingWeights(f"{message} and {host} does not answer", hint=hint)
    try:
        yield
    except Exception as error:  # each library of networking has its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MissingWeights(f"{message} and {host} did not give it: {reason}", hint=hint) from None


def answers(address: str) -> bool:
    """Whether a server answers at all; an error page is an answer too."""
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
