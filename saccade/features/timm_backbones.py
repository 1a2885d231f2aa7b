"""Building timm's networks and filling them: with a file's weights, all of them, or random ones.

timm itself loads leniently in several cases; here a tensor that does not fit is an error.
"""

import difflib
import hashlib
import pickle
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from huggingface_hub import hf_hub_url
from safetensors import SafetensorError, safe_open
from timm.models import PretrainedCfg, clean_state_dict, get_pretrained_cfg, load_state_dict
from torch import Tensor, hub, nn

from saccade.core.errors import BadConfig, BadData, MissingWeights
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
from saccade.features.settings import BackboneSpec, Option

# Finding a backbone's weights, and looking into files of weights without trusting them.

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
    hint = fetch_and_put([address], [_name_for(address, names)], OTHERWISE)
    if not repository:
        raise MissingWeights(f"timm's hub has no weights for {network}", hint=hint)
    return from_hub(repository, HUB_FILE, network, hint)


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
            location="; ".join(dict.fromkeys(map(str, given))),
            hint=f"Is the name right? {get} as {place} and give --weights {named}.",
        )
    return found


def _from_address(address: str, kept: Path, network: str) -> Path:
    hint = fetch_and_put([address], [kept.name], OTHERWISE)
    message = f"weights of {network} are not in torch's cache"
    if offline():
        raise MissingWeights(f"{message} and HF_HUB_OFFLINE is set", location=kept, hint=hint)
    if not answers(address):
        message = f"{message} and {address.split('/')[2]} does not answer"
        raise MissingWeights(message, location=kept, hint=hint)
    kept.parent.mkdir(parents=True, exist_ok=True)
    digest = kept.stem.rpartition("-")[2]
    try:
        hub.download_url_to_file(address, str(kept), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError) as error:
        message = f"{address} did not give the weights of {network}: {error}"
        raise MissingWeights(message, hint=hint) from None
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
            location=path,
            hint="Copy it again from where it came; a .pth may hold tensors only, in a plain dict "
            "or under `state_dict` or `model`.",
        ) from None


SEED = 0
"""Random weights are the same ones everywhere with the same torch."""
OURS = frozenset(
    {"num_classes", "in_chans", "features_only", "scriptable", "exportable", "cache_dir"}
    | {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"}
)
"""What saccade itself tells `timm.create_model`."""
VECTOR = "vector"
"""An option of saccade's: one region, the numbers that the network's classifier reads."""


class TrainedOn(NamedTuple):
    """The images that a network was trained to see."""

    height: int
    width: int
    crop: float | None
    """The crop's share of an image's shorter side; none for a whole, squashed image."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    inside: float | None = None
    """For whole images with their proportions: the shorter side's share of the longest side."""


def config_of(network: str) -> PretrainedCfg:
    """What timm knows of a network's training: input size, mean, std, crop. Raises BadConfig."""
    if not timm.is_model(network):
        raise _unknown(network)
    try:
        return get_pretrained_cfg(network) or PretrainedCfg()
    except RuntimeError as error:
        hint = "Leave out what follows the dot, or see timm.list_pretrained()."
        raise BadConfig(str(error).rstrip("."), hint=hint) from None


def prepare(
    network: str, weights: str, options: Mapping[str, Option], size: int | None
) -> tuple[dict[str, Option], Path | None]:
    """Options that make the network take images of `size` pixels, and its weights file.

    Raises BadConfig for a network or an option that timm does not have, MissingWeights.
    """
    if ours := sorted(OURS & options.keys()):
        raise BadConfig(f"--option {ours[0]} is saccade's own business", hint="Leave it out.")
    known, chosen = config_of(network), dict(options)
    if size is not None and known.fixed_input_size and size != known.input_size[-1]:
        chosen.setdefault("img_size", size)
    return chosen, find_weights(network, weights)


def trained_on(spec: BackboneSpec) -> TrainedOn:
    """What timm knows of the images that a network was trained on. Raises BadConfig."""
    known, own = config_of(spec.network), spec.options.get("img_size")
    side = own if isinstance(own, int) else None
    return TrainedOn(
        side or known.input_size[1],
        side or known.input_size[2],
        None if known.crop_mode == "squash" else known.crop_pct,
        known.mean,
        known.std,
        known.interpolation,
    )


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Build a network without its classifier, with weights from a file, or else random ones."""
    options: dict[str, Any] = dict(spec.options)
    vector = options.pop(VECTOR, False)
    model = _built(spec.model_copy(update={"options": options}), file)
    return _one_vector(model) if vector else model


def _one_vector(model: nn.Module) -> nn.Module:
    """Make the network's output a grid of one cell: fc7 of a VGG, elsewhere the pooled grid."""
    grid_of: Any = model.forward_features

    def before_the_classifier(images: Tensor) -> Tensor:
        vector: Tensor = model.forward_head(grid_of(images), pre_logits=True)  # type: ignore[operator]
        return (
            vector.flatten(2).mean(dim=2)[:, :, None, None]
            if vector.ndim == 4
            else (vector[:, :, None, None])
        )

    changed: Any = model
    changed.forward_features, changed.output_fmt = before_the_classifier, "NCHW"
    return model


def _built(spec: BackboneSpec, file: Path | None) -> nn.Module:
    if file is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return _plain(spec, num_classes=0)
    shapes = shapes_in(file)
    classifier: str | tuple[str, ...] = config_of(spec.network).classifier or ""
    first = classifier if isinstance(classifier, str) else classifier[0]
    classes = shapes.get(f"{first}.weight", (0,))[0]
    # With the file's own number of classes timm loads strictly; the classifier goes afterwards.
    source = {"file": str(file), "num_classes": classes, "label_offset": 0}
    options: dict[str, Any] = dict(spec.options)
    try:
        model = timm.create_model(
            spec.network,
            pretrained=True,
            pretrained_cfg_overlay=source,
            num_classes=classes,
            **options,
        )
    except Exception as error:  # timm's own conversions may trip over another network's tensors
        wanted = _plain(spec, num_classes=classes).state_dict()
        raise misfit(spec, file, wanted, shapes, str(error).splitlines()[0][:200]) from None
    if classes:
        model.reset_classifier(0)  # type: ignore[operator]
    return model


def _plain(spec: BackboneSpec, num_classes: int) -> nn.Module:
    options: dict[str, Any] = dict(spec.options)
    try:
        return timm.create_model(spec.network, num_classes=num_classes, **options)
    except Exception as error:  # options reach code of a thousand networks
        given = ", ".join(f"{name}={value}" for name, value in spec.options.items()) or "none"
        raise BadConfig(
            f"timm cannot build {spec.network} with options {given} "
            f"({str(error).splitlines()[0][:150]})",
            hint="Change or leave out --option.",
        ) from None


def misfit(
    spec: BackboneSpec,
    file: Path,
    wanted: Mapping[str, Tensor],
    found: Mapping[str, tuple[int, ...]],
    error: str = "they differ",
) -> BadConfig:
    """Say what in a file is not the network's; where names and shapes agree, what `error` says."""
    other = [
        f"{name} is {tuple(found[name])} in the file and {tuple(wanted[name].shape)} in the network"
        for name in wanted
        if name in found and tuple(found[name]) != tuple(wanted[name].shape)
    ]
    lists = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": other,
    }
    said = [f"{len(x)} {kind} ({', '.join(x[:3])}{', ...' * (len(x) > 3)})"
            for kind, x in lists.items() if x]  # fmt: skip
    return BadConfig(
        f"the file's tensors are not those of {spec.network}: {'; '.join(said) or error}",
        location=file,
        hint="Give the weights of this very network, or the --option values they were trained with",
    )


def digest_of(model: nn.Module) -> str:
    """SHA-256 over a network's tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _unknown(network: str) -> BadConfig:
    known = timm.list_models()
    near = difflib.get_close_matches(network.partition(".")[0], known, n=3, cutoff=0.5)
    close = f"Near it: {', '.join(f'timm:{other}' for other in near)}. " if near else ""
    hint = f"{close}Any name of timm.list_models() will do, as timm:NAME."
    return BadConfig(f"timm has no network {network!r}", hint=hint)
