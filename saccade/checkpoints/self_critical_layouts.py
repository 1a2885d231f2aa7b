"""Checkpoints of ruotianluo's self-critical.pytorch: `model.pth`, a state dict, and beside it
`infos_*.pkl` with the words. Keys as in the captioning specification, 1.2, 3.3, 4.5 and 4.6.

Id 0 begins, ends and fills captions. LSTM gates of `adaatt` stand in another order than torch's; a
batch norm on regions (`use_bn=1`) is folded into the layer behind it.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from saccade.checkpoints.reading import CAFFE, Bundle, Looking, Reading, matrix, skeleton
from saccade.checkpoints.renaming import Source, Tensors, cut, gates_to_torch, require, sources
from saccade.checkpoints.self_critical_networks import (
    NETS,
    Net,
    layers_of,
    transformer_keys,
    transformer_names,
)
from saccade.checkpoints.unpickle import Inert
from saccade.checkpoints.words import beside, check_sizes, one_end_words, read_file
from saccade.core.errors import BadCheckpoint
from saccade.models.transformer import TransformerConfig
from saccade.text.vocabulary import Vocabulary, Words

EPSILON = 1e-5
"""Of torch's batch norms."""


def self_critical(bundle: Bundle) -> Reading:
    """`adaatt`, `updown`, `newfc`, `transformer` or `show_tell`, as its tensors tell."""
    tensors = cut(bundle.tensors(), r"model\.tgt_embed\.1\.pe|att_embed\.0\.num_batches_tracked")
    name = next((n for n, net in NETS.items() if any(net.sign in key for key in tensors)), None)
    if name is None:
        raise BadCheckpoint(
            f"its tensors are those of no network known here; the first is {next(iter(tensors))}",
            where=bundle.path,
            cure=f"Known are: {', '.join(NETS)}.",
        )
    layout, net = f"self-critical ({name})", NETS[name]
    model = {**net.fixed, **(layers_of(tensors) if name == "transformer" else {})}
    made = partial(_sources, tensors, net)
    wanted = made(skeleton(net.config(**model)))
    require(tensors, wanted, layout)
    _, dim = matrix(tensors, wanted[f"{net.see[1]}.weight"].names[0])
    model |= {field: matrix(tensors, key)[side] for field, (key, side) in net.sizes.items()}

    where = beside(bundle.path, bundle.words, _infos(bundle.path), "infos_*.pkl", "words")
    vocabulary, options = _told(read_file(where), where)
    check_sizes("words and the end", len(vocabulary), matrix(tensors, net.rows)[0], where)
    if name == "transformer":
        model["heads"] = options.get("num_att_heads", 8)
    looking = Looking("timm:resnet101.tv_in1k", 448)
    notes = [CAFFE.format(network="ResNet-101, or of detected boxes", backbone=looking.backbone)]
    if options.get("norm_att_feat"):
        notes.append("regions: it was trained on regions scaled to length 1, which these are not")
    return Reading(
        layout,
        net.recipe,
        model,
        tensors,
        made,
        lambda _: dim,
        Words(vocabulary),
        looking,
        recipe_fields={"decode.ban_unknown": True, "decode.beams": 5, "decode.longest": 20},
        notes=tuple(notes),
    )


def _infos(checkpoint: Path) -> list[Path]:
    """The infos beside a checkpoint, those of the best epoch with the best epoch's weights."""
    best = "best" in checkpoint.stem
    return [
        path
        for path in sorted(checkpoint.parent.glob("infos_*.pkl"))
        if path.stem.endswith("-best") == best
    ]


def _told(about: object, where: Path) -> tuple[Vocabulary, Mapping[str, Any]]:
    """Words and the program's options, from its infos; or words alone, from its data's JSON."""
    found = about if isinstance(about, dict) else {}
    options = found.get("opt")
    vocabulary = one_end_words(found.get("vocab", found.get("ix_to_word")), where)
    return vocabulary, options.attributes if isinstance(options, Inert) else {}


def _place(tensors: Tensors) -> str:
    """Behind a batch norm, if there is one."""
    return ".1" if "att_embed.0.running_mean" in tensors else ".0"


def _sources(tensors: Tensors, net: Net, model: nn.Module) -> dict[str, Source]:
    """Where each of our tensors comes from: by names, gates in torch's order, norms folded."""
    names = dict(net.names)
    theirs, ours = net.see
    if theirs:
        names[f"{theirs}{_place(tensors)}"] = ours
    joined: dict[str, Source] = {}
    if net.config is TransformerConfig:
        names |= transformer_names(tensors)
        joined = transformer_keys(tensors)  # keys and values are one layer here
    found = sources(model, names, but=joined)
    for key, source in found.items():
        if key.startswith(("word_gates.", "whole_gates.", "hidden_gates.")):
            found[key] = Source(source.names, gates_to_torch)
        elif ".scale" in key or ".shift" in key:
            found[key] = Source(tuple(map(_norm_name, source.names)))
    if theirs and _place(tensors) == ".1":
        norm = [f"{theirs}.0.{part}" for part in ("weight", "running_var", "bias", "running_mean")]
        weight = f"{theirs}.1.weight"
        found[f"{ours}.weight"] = Source((weight, *norm[:2]), _folded_weight)
        found[f"{ours}.bias"] = Source((f"{theirs}.1.bias", weight, *norm), _folded_bias)
    return found | joined


def _folded_weight(weight: Tensor, scale: Tensor, variance: Tensor) -> Tensor:
    """A linear layer that also does what a batch norm before it did in evaluation."""
    return weight * (scale / (variance + EPSILON).sqrt())


def _folded_bias(
    bias: Tensor, weight: Tensor, scale: Tensor, variance: Tensor, shift: Tensor, mean: Tensor
) -> Tensor:
    return bias + weight @ (shift - mean * scale / (variance + EPSILON).sqrt())


def _norm_name(name: str) -> str:
    return name.replace(".scale", ".a_2").replace(".shift", ".b_2")
