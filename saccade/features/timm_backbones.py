"""timm's networks as backbones, with all the weights of a file or with random ones.

timm itself loads leniently in several cases; here a tensor that does not fit is an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_url
from safetensors import safe_open
from timm.models import PretrainedCfg, clean_state_dict, get_pretrained_cfg
from torch import Tensor, nn

from saccade.core.errors import BadConfig, MissingWeights
from saccade.core.formatting import first_line
from saccade.core.weights import HUB_FILE, SUFFIXES, find_network, from_hub
from saccade.features import networks
from saccade.features.settings import BackboneSpec, Option

RESERVED = frozenset(
    {"num_classes", "in_chans", "features_only", "scriptable", "exportable", "cache_dir"}
    | {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"}
)
"""Arguments of `timm.create_model` that saccade itself gives."""
VECTOR = "vector"
"""An option of saccade's: one region, the numbers that the network's classifier reads."""


def find_weights(network: str, weights: str) -> Path | None:
    """The weights file of a network; None for "random".

    `weights` is a file, a folder of files, or the name of either in the folder $SACCADE_WEIGHTS;
    "hub" takes `NETWORK.safetensors` or `NETWORK.pth` from that folder, else the hub's cache, else
    the hub. Raises MissingWeights: which file is wanted, where to get it and where to put it.
    """
    known = get_pretrained_cfg(network)
    repository = str(getattr(known, "hf_hub_id", None) or "")
    address = hf_hub_url(repository, HUB_FILE) if repository else getattr(known, "url", None) or ""

    def fetch(hint: str) -> Path:
        if not repository:
            raise MissingWeights(f"timm's hub has no weights for {network}", hint=hint)
        return from_hub(repository, HUB_FILE, network, hint)

    names = [f"{network}{suffix}" for suffix in SUFFIXES]
    return find_network(network, weights, names, address, fetch)


def config_of(network: str) -> PretrainedCfg:
    """timm's facts about a network's training: input size, mean, std, crop. Raises BadConfig."""
    if not timm.is_model(network):
        hint = "Any name of timm.list_models() will do, as timm:NAME."
        raise networks.no_network("timm", "network", network, timm.list_models(), hint)
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
    if reserved := sorted(RESERVED & options.keys()):
        raise BadConfig(f"--option {reserved[0]} is saccade's own business", hint="Leave it out.")
    known, chosen = config_of(network), dict(options)
    if size is not None and known.fixed_input_size and size != known.input_size[-1]:
        chosen.setdefault("img_size", size)
    return chosen, find_weights(network, weights)


def input_config(spec: BackboneSpec) -> networks.InputConfig:
    """The images that timm says a network was trained on. Raises BadConfig."""
    known, own = config_of(spec.network), spec.options.get("img_size")
    height, width = (own, own) if isinstance(own, int) and own else known.input_size[1:]
    crop = None if known.crop_mode == "squash" else known.crop_pct
    return networks.InputConfig(height, width, crop, known.mean, known.std, known.interpolation)


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """A network without its classifier, with weights from a file, or else random ones."""
    options: dict[str, Any] = dict(spec.options)
    vector = options.pop(VECTOR, False)
    if file is None:
        with networks.fixed_seed():
            model = _without_weights(spec.network, options, classes=0)
    else:
        model = _with_weights(spec, options, file)
    if not vector:
        return model
    # Its output becomes a grid of one cell: fc7 of a VGG, elsewhere the pooled grid.
    changed: Any = model
    forward_grid = changed.forward_features

    def forward_vector(images: Tensor) -> Tensor:
        found: Tensor = changed.forward_head(forward_grid(images), pre_logits=True)
        if found.ndim == 4:
            found = found.flatten(2).mean(dim=2)
        return found[:, :, None, None]

    changed.forward_features, changed.output_fmt = forward_vector, "NCHW"
    return model


def _with_weights(spec: BackboneSpec, options: dict[str, Any], file: Path) -> nn.Module:
    if file.suffix != ".safetensors":
        shapes = {name: tuple(value.shape) for name, value in networks.read_weights(file).items()}
    else:  # only the head is read
        with networks.unreadable_weights(file), safe_open(file, framework="pt") as stream:
            found = {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118
            shapes = {name: tuple(shape) for name, shape in clean_state_dict(found).items()}
    classifier: str | tuple[str, ...] = config_of(spec.network).classifier or ""
    first = classifier if isinstance(classifier, str) else classifier[0]
    classes = shapes.get(f"{first}.weight", (0,))[0]
    # With the file's own number of classes timm loads strictly; the classifier goes afterwards.
    source = {"file": str(file), "num_classes": classes, "label_offset": 0}
    given: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": source}
    given["num_classes"] = classes
    try:
        model = timm.create_model(spec.network, **given, **options)
    except Exception as error:  # timm's own conversions may trip over another network's tensors
        wanted = _without_weights(spec.network, options, classes).state_dict()
        raise networks.misfit(spec, file, wanted, shapes, first_line(error, 200)) from None
    if classes:
        model.reset_classifier(0)  # type: ignore[operator]
    return model


def _without_weights(network: str, options: dict[str, Any], classes: int) -> nn.Module:
    try:
        return timm.create_model(network, num_classes=classes, **options)
    except Exception as error:  # options reach code of a thousand networks
        raise networks.cannot_build(f"timm cannot build {network}", options, error) from None
