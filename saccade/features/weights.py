"""Finding a backbone's weights, and looking into files of weights without trusting them."""

import pickle
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_url
from safetensors import SafetensorError, safe_open
from timm.models import clean_state_dict, get_pretrained_cfg, load_state_dict
from torch import Tensor, hub

from saccade.core.errors import BadData, MissingWeights
from saccade.core.weights import (
    HUB_FILE,
    answers,
    fetch_and_put,
    first_of,
    from_hub,
    in_folder,
    offline,
    weights_folder,
)

SUFFIXES = (".safetensors", ".pth")
OTHERWISE = "give it to extract with --weights FILE (--weights random is for trials)"


def find_weights(network: str, weights: str) -> Path | None:
    """The weights file of a timm network; None for "random".

    `weights` is a file, a folder of files, or the name of either in the folder $SACCADE_WEIGHTS;
    "hub" takes `NETWORK.safetensors` or `NETWORK.pth` from that folder, else the hub's cache, else
    the hub. Raises MissingWeights, saying which file is wanted, where to get it and where to put
    it.
    """
    if weights == "random":
        return None
    names = [f"{network}{suffix}" for suffix in SUFFIXES]
    known = get_pretrained_cfg(network)
    repository = str(getattr(known, "hf_hub_id", None) or "")
    address = hf_hub_url(repository, HUB_FILE) if repository else getattr(known, "url", None) or ""
    if weights != "hub":
        return _given(weights, names, network, address)
    if found := in_folder(*names):
        return found
    cure = fetch_and_put([address], [_name_for(address, names)], OTHERWISE)
    if not repository:
        raise MissingWeights(f"timm's hub has no weights for {network}", cure=cure)
    return from_hub(repository, HUB_FILE, network, cure)


def find_detector_weights(network: str, weights: str, address: str) -> Path | None:
    """The weights file of a torchvision detector; None for "random".

    As `find_weights`, but "hub" is torch's cache of files, else `address`, whose file name is
    looked for too.
    """
    if weights == "random":
        return None
    file = address.rpartition("/")[2]
    names = [*(f"{network}{suffix}" for suffix in SUFFIXES), file]
    if weights != "hub":
        return _given(weights, names, network, address)
    kept = Path(hub.get_dir()) / "checkpoints" / file
    return in_folder(*names) or first_of([kept]) or _from_address(address, kept, network)


def _name_for(address: str, names: Sequence[str]) -> str:
    """Which of the names that are looked for a file from there has to get: what it is, its ending
    says.
    """
    file = address.rpartition("/")[2]
    return file if file in names else next((n for n in names if n.endswith(file[-4:])), names[0])


def _given(weights: str, names: Sequence[str], network: str, address: str) -> Path:
    """A file that was given, or the first of some names in a folder that was."""
    folder = weights_folder()
    given = [Path(weights)] + ([folder / weights] if folder else [])
    found, home = first_of(given), given[-1].parent
    if found is not None and found.is_dir():
        given, home = [found / name for name in names], found
        found = first_of(given)
    if found is None:
        place = home / _name_for(address, names)
        named = shlex.quote(str(place))
        get = f"Weights of {network} are at {address}: save them" if address else "Put the file"
        raise MissingWeights(
            f"no weights file {given[0].name!r}",
            where="; ".join(dict.fromkeys(map(str, given))),
            cure=f"Is the name right? {get} as {place} and give --weights {named}.",
        )
    return found


def _from_address(address: str, kept: Path, network: str) -> Path:
    cure = fetch_and_put([address], [kept.name], OTHERWISE)
    what = f"weights of {network} are not in torch's cache"
    if offline():
        raise MissingWeights(f"{what} and HF_HUB_OFFLINE is set", where=kept, cure=cure)
    if not answers(address):
        what = f"{what} and {address.split('/')[2]} does not answer"
        raise MissingWeights(what, where=kept, cure=cure)
    kept.parent.mkdir(parents=True, exist_ok=True)
    digest = kept.stem.rpartition("-")[2]
    try:
        hub.download_url_to_file(address, str(kept), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError) as error:
        what = f"{address} did not give the weights of {network}: {error}"
        raise MissingWeights(what, cure=cure) from None
    return kept


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a weights file, cleaned of training wrappers' prefixes.

    Of a safetensors file only the head is read. Nothing is unpickled but tensors and plain values.
    Raises BadData for a file that is damaged or holds anything else.
    """
    if path.suffix != ".safetensors":
        return {name: tuple(value.shape) for name, value in tensors_in(path).items()}
    with _told(path), safe_open(path, framework="pt") as stream:
        found = {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118
        return {name: tuple(shape) for name, shape in clean_state_dict(found).items()}


def tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors in a weights file, named as in `shapes_in`. Raises BadData."""
    with _told(path):
        return dict(load_state_dict(str(path)))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
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
