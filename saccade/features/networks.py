"""Building timm's networks and filling them: with a file's weights, all of them, or random ones.

timm itself loads leniently in several cases; here a tensor that does not fit is an error.
"""

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import Tensor, nn

from saccade.errors import BadConfig
from saccade.features.settings import BackboneSpec
from saccade.features.weights import shapes_in

SEED = 0
"""Random weights are the same ones everywhere with the same torch."""


def config_of(network: str) -> PretrainedCfg:
    """What timm knows of a network's training: input size, mean, std, crop. Raises BadConfig."""
    if not timm.is_model(network):
        raise _unknown(network)
    try:
        return get_pretrained_cfg(network) or PretrainedCfg()
    except RuntimeError as error:
        cure = "Leave out what follows the dot, or see timm.list_pretrained()."
        raise BadConfig(str(error).rstrip("."), cure=cure) from None


def create_network(spec: BackboneSpec, file: Path | None) -> nn.Module:
    """Build a network without its classifier, with weights from a file, or else random ones."""
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
        raise _misfit(spec, file, wanted, shapes, error) from None
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
            cure="Change or leave out --option.",
        ) from None


def _misfit(
    spec: BackboneSpec,
    file: Path,
    wanted: Mapping[str, Tensor],
    found: Mapping[str, tuple[int, ...]],
    error: Exception,
) -> BadConfig:
    """Say what in a file is not the network's."""
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
        f"the file's tensors are not those of {spec.network}: "
        f"{'; '.join(said) or str(error).splitlines()[0][:200]}",
        where=file,
        cure="Give the weights of this very network, or the --option values they were trained with",
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
    cure = f"{close}Any name of timm.list_models() will do, as timm:NAME."
    return BadConfig(f"timm has no network {network!r}", cure=cure)
