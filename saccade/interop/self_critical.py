"""Checkpoints of ruotianluo's self-critical.pytorch: `model.pth`, a state dict, and beside it
`infos_*.pkl` with the words. Keys as in the captioning specification, 1.2, 3.3, 4.5 and 4.6.

Id 0 begins, ends and fills captions. LSTM gates of `adaatt` stand in another order than torch's; a
batch norm on regions (`use_bn=1`) is folded into the layer behind it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from saccade.core.errors import BadCheckpoint
from saccade.interop.checkpoint_mapping import (
    CAFFE,
    Bundle,
    ImageInput,
    Reading,
    Source,
    Tensors,
    beside,
    check_sizes,
    count,
    cut,
    gates_to_torch,
    matrix,
    one_end_words,
    read_file,
    require,
    side_by_side,
    skeleton,
    sources,
)
from saccade.interop.torch_files import Inert
from saccade.models.catalogue import (
    AdaptiveAttentionConfig,
    ModelConfig,
    ShowTellConfig,
    TransformerConfig,
    UpDownConfig,
)
from saccade.text.vocabulary import Vocabulary, Words

# The networks of ruotianluo's self-critical.pytorch, and which of saccade's each one is.


class Net(NamedTuple):
    """One of the program's networks, and which of saccade's it is."""

    sign: str
    """A layer that no other one has."""
    recipe: str
    config: Callable[..., ModelConfig]
    fixed: Mapping[str, Any]
    """Fields that every such network has."""
    names: Mapping[str, str]
    sizes: Mapping[str, tuple[str, int]]
    """Which fields are the rows (0) or columns (1) of which tensors."""
    rows: str
    """The tensor with a row per word."""
    image: tuple[str, str]
    """The layer that takes regions: its name there, and here."""


MEAN = {"init_pool": "mean", "pool_size": None, "batch_norm": None}
"""Show and Tell as it hears the mean region first."""

NETS = {
    "updown": Net(
        "core.att_lstm.",
        "up-down",
        UpDownConfig,
        {},
        {
            "embed.0": "embed",
            "fc_embed.0": "project_mean",
            "core.att_lstm": "attention_lstm",
            "core.lang_lstm": "language_lstm",
            "ctx2att": "key",
            "core.attention.h2att": "query",
            "core.attention.alpha_net": "score",
            "logit": "output",
        },
        {
            "embedding": ("embed.0.weight", 1),
            "hidden": ("core.att_lstm.weight_hh", 1),
            "attention": ("ctx2att.weight", 0),
        },
        "embed.0.weight",
        ("att_embed", "project_regions"),
    ),
    "adaatt": Net(
        "core.lstm.w2h.",
        "adaptive-attention-lua",
        AdaptiveAttentionConfig,
        {"variant": "lua"},
        {
            "embed.0": "embed",
            "fc_embed.0": "project_mean",
            "core.lstm.w2h": "word_gates",
            "core.lstm.v2h": "mean_gates",
            "core.lstm.h2h.0": "hidden_gates",
            "core.lstm.r_w2h": "sentinel_word",
            "core.lstm.r_v2h": "sentinel_mean",
            "core.lstm.r_h2h": "sentinel_hidden",
            "ctx2att": "region_key",
            "core.attention.fr_linear.0": "sentinel_value",
            "core.attention.fr_embed": "sentinel_key",
            "core.attention.ho_linear.0": "hidden_value",
            "core.attention.ho_embed": "query",
            "core.attention.alpha_net": "score",
            "core.attention.att2h": "merge",
            "logit": "output",
        },
        {
            "embedding": ("embed.0.weight", 1),
            "hidden": ("fc_embed.0.weight", 0),
            "attention": ("ctx2att.weight", 0),
        },
        "embed.0.weight",
        ("att_embed", "project_regions"),
    ),
    "newfc": Net(
        "_core.i2h.",
        "show-tell-first-word",
        ShowTellConfig,
        {"cell": "maxout", "cell_bias": True, "image_bias": True} | MEAN,
        {
            "fc_embed": "project_image",
            "embed": "embed",
            "_core.i2h": "lstm.input_gates",
            "_core.h2h": "lstm.hidden_gates",
            "logit": "output",
        },
        {"embedding": ("embed.weight", 1), "hidden": ("_core.h2h.weight", 1)},
        "embed.weight",
        ("", "project_image"),
    ),
    "show_tell": Net(
        "img_embed.",
        "show-tell-first-word",
        ShowTellConfig,
        {"cell": "lstm", "cell_bias": False, "image_bias": True} | MEAN,
        {"img_embed": "project_image", "embed": "embed", "core": "lstm", "logit": "output"},
        {"embedding": ("embed.weight", 1), "hidden": ("core.weight_hh_l0", 1)},
        "embed.weight",
        ("", "project_image"),
    ),
    "transformer": Net(
        "model.encoder.layers.",
        "transformer",
        TransformerConfig,
        {},
        {
            "model.encoder.norm": "encoder_norm",
            "model.decoder.norm": "decoder_norm",
            "model.tgt_embed.0.lut": "embed",
            "model.generator.proj": "output",
        },
        {
            "width": ("model.tgt_embed.0.lut.weight", 1),
            "feed_forward": ("model.encoder.layers.0.feed_forward.w_1.weight", 0),
        },
        "model.tgt_embed.0.lut.weight",
        ("att_embed", "project_regions"),
    ),
}


PUBLISHED = ("self_attn", "src_attn")
"""Attention to what is said, and to the image."""


def layers_of(tensors: Tensors) -> dict[str, int]:
    """How many layers a Transformer's stacks have, at least one."""
    return {
        f"{stack}_layers": max(count(tensors, rf"model\.{stack}\.layers\.(\d+)\."), 1)
        for stack in ("encoder", "decoder")
    }


def transformer_names(tensors: Tensors) -> dict[str, str]:
    """All layers of both stacks but keys and values."""
    names, blocks_of = {}, {"encoder": ("self",), "decoder": ("self", "cross")}
    for stack, blocks in blocks_of.items():
        for i in range(layers_of(tensors)[f"{stack}_layers"]):
            theirs, ours = f"model.{stack}.layers.{i}", f"{stack}.{i}"
            for place, (block, published) in enumerate(zip(blocks, PUBLISHED, strict=False)):
                names[f"{theirs}.sublayer.{place}.norm"] = f"{ours}.{block}_norm"
                names[f"{theirs}.{published}.linears.0"] = f"{ours}.{block}_attention.query"
                names[f"{theirs}.{published}.linears.3"] = f"{ours}.{block}_attention.merge"
            names[f"{theirs}.sublayer.{len(blocks)}.norm"] = f"{ours}.feed_forward.0"
            names[f"{theirs}.feed_forward.w_1"] = f"{ours}.feed_forward.1"
            names[f"{theirs}.feed_forward.w_2"] = f"{ours}.feed_forward.4"
    return names


def transformer_keys(tensors: Tensors) -> dict[str, Source]:
    """Keys and values, two layers there, one here."""
    joined = {}
    for field, layers in layers_of(tensors).items():
        stack = field.removesuffix("_layers")
        for i in range(layers):
            parts = [("self_attn", f"{stack}.{i}.keys")]
            parts += [("src_attn", f"region_keys.{i}")] if stack == "decoder" else []
            for block, ours in parts:
                both = [f"model.{stack}.layers.{i}.{block}.linears.{n}" for n in (1, 2)]
                for leaf in ("weight", "bias"):
                    made = Source(tuple(f"{layer}.{leaf}" for layer in both), side_by_side)
                    joined[f"{ours}.{leaf}"] = made
    return joined


EPSILON = 1e-5
"""Of torch's batch norms."""


def self_critical(bundle: Bundle) -> Reading:
    """`adaatt`, `updown`, `newfc`, `transformer` or `show_tell`, as its tensors tell."""
    tensors = cut(bundle.tensors(), r"model\.tgt_embed\.1\.pe|att_embed\.0\.num_batches_tracked")
    name = next((n for n, net in NETS.items() if any(net.sign in key for key in tensors)), None)
    if name is None:
        raise BadCheckpoint(
            f"its tensors are those of no network known here; the first is {next(iter(tensors))}",
            location=bundle.path,
            hint=f"Known are: {', '.join(NETS)}.",
        )
    layout, net = f"self-critical ({name})", NETS[name]
    model = {**net.fixed, **(layers_of(tensors) if name == "transformer" else {})}
    made = partial(_sources, tensors, net)
    wanted = made(skeleton(net.config(**model)))
    require(tensors, wanted, layout)
    _, dim = matrix(tensors, wanted[f"{net.image[1]}.weight"].names[0])
    model |= {field: matrix(tensors, key)[side] for field, (key, side) in net.sizes.items()}

    location = beside(bundle.path, bundle.words, _infos(bundle.path), "infos_*.pkl", "words")
    vocabulary, options = _words_and_options(read_file(location), location)
    check_sizes("words and the end", len(vocabulary), matrix(tensors, net.rows)[0], location)
    if name == "transformer":
        model["heads"] = options.get("num_att_heads", 8)
    images = ImageInput("timm:resnet101.tv_in1k", 448)
    notes = [CAFFE.format(network="ResNet-101, or of detected boxes", backbone=images.backbone)]
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
        images,
        recipe_fields={"decode.suppress_unk": True, "decode.beam_size": 5, "decode.max_length": 20},
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


def _words_and_options(about: object, location: Path) -> tuple[Vocabulary, Mapping[str, Any]]:
    """Words and the program's options, from its infos; or words alone, from its data's JSON."""
    found = about if isinstance(about, dict) else {}
    options = found.get("opt")
    vocabulary = one_end_words(found.get("vocab", found.get("ix_to_word")), location)
    return vocabulary, options.attributes if isinstance(options, Inert) else {}


def _place(tensors: Tensors) -> str:
    """Behind a batch norm, if there is one."""
    return ".1" if "att_embed.0.running_mean" in tensors else ".0"


def _sources(tensors: Tensors, net: Net, model: nn.Module) -> dict[str, Source]:
    """Where each of our tensors comes from: by names, gates in torch's order, norms folded."""
    names = dict(net.names)
    theirs, ours = net.image
    if theirs:
        names[f"{theirs}{_place(tensors)}"] = ours
    joined: dict[str, Source] = {}
    if net.config is TransformerConfig:
        names |= transformer_names(tensors)
        joined = transformer_keys(tensors)  # keys and values are one layer here
    found = sources(model, names, but=joined)
    for key, source in found.items():
        if key.startswith(("word_gates.", "mean_gates.", "hidden_gates.")):
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
