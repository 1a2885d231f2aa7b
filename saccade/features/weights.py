"""Finding a backbone's weights: a given file, a folder of files, or timm's hub.

Only the hub touches the network, only when its file is not in its cache yet, and only after one
short question whether it answers at all: its own client would retry for most of a minute.
"""

import hashlib
import os
import pickle
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from timm.models import clean_state_dict, get_pretrained_cfg, load_state_dict

from saccade.errors import BadData, MissingWeights

SUFFIXES = (".safetensors", ".pth")
FOLDER = "SACCADE_WEIGHTS"
"""Environment variable: a folder of files such as `resnet152.safetensors`."""
HUB_FILE = "model.safetensors"
PATIENCE = 5.0
"""Seconds that the hub has to answer at all."""


def find_weights(network: str, weights: str) -> Path | None:
    """The weights file of a timm network; None for "random".

    `weights` is a file, or the name of one in the folder $SACCADE_WEIGHTS; "hub" takes
    `NETWORK.safetensors` or `NETWORK.pth` from that folder, else the hub's cache, else the hub.
    Raises MissingWeights, saying which file is wanted, where to get it and where to put it.
    """
    if weights == "random":
        return None
    folder = os.environ.get(FOLDER)
    if weights != "hub":
        given = [Path(weights)] + ([Path(folder) / weights] if folder else [])
        return _first(given) or _refuse(weights, "; ".join(map(str, given)))
    own = [Path(folder) / f"{network}{suffix}" for suffix in SUFFIXES] if folder else []
    return _first(own) or _from_timms_hub(network)


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _refuse(weights: str, looked: str) -> Path:
    raise MissingWeights(
        f"no weights file {Path(weights).name!r}",
        where=looked,
        cure=f"Give --weights FILE, or put the file into the folder that {FOLDER} names.",
    )


def _from_timms_hub(network: str) -> Path:
    known = get_pretrained_cfg(network)
    name = f"{network}{SUFFIXES[0]}"
    put = f"save it as {name} in the folder that {FOLDER} names, or give it with --weights FILE"
    if known is None or not known.hf_hub_id:
        url = getattr(known, "url", None)
        raise MissingWeights(
            f"timm's hub has no weights for {network}",
            cure=f"Fetch {url} and give it with --weights FILE." if url else "Give --weights FILE.",
        )
    return from_hub(str(known.hf_hub_id), HUB_FILE, network, put)


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
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and HF_HUB_OFFLINE is set", cure=cure
        )
    if not _answers(constants.ENDPOINT):
        raise MissingWeights(
            f"weights of {network} are not in the hub's cache and the hub does not answer",
            cure=cure,
        )
    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, OSError) as error:
        what = f"the hub did not give the weights of {network}: {str(error).splitlines()[0]}"
        raise MissingWeights(what, cure=cure) from None


def _answers(address: str) -> bool:
    """Is anybody there? An error page is an answer too."""
    question = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(question, timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a weights file, cleaned of training wrappers' prefixes.

    Of a safetensors file only the head is read. Nothing is unpickled but tensors and plain values.
    Raises BadData for a file that is damaged or holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                found = {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118
            return {name: tuple(shape) for name, shape in clean_state_dict(found).items()}
        return {name: tuple(value.shape) for name, value in load_state_dict(str(path)).items()}
    except (
        *(SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError),
        *(AttributeError, KeyError, TypeError, ValueError),
    ) as error:
        raise BadData(
            f"not a file of weights that can be read safely ({str(error).splitlines()[0][:200]})",
            where=path,
            cure="Copy it again from where it came; a .pth may hold tensors only, in a plain dict "
            "or under `state_dict` or `model`.",
        ) from None
