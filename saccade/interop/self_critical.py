"""Checkpoints of ruotianluo's self-critical.pytorch: `model.pth`, a state dict, and beside it
`infos_*.pkl` with the words. Keys as in the captioning specification, 1.2, 3.3, 4.5 and 4.6, and
of `att2in2`, `fc`, `adaattmo` and `aoa` as that program's models name their layers.

Id 0 begins, ends and fills captions. LSTM gates of `adaatt` stand in another order than torch's; a
batch norm on regions (`use_bn`) is folded into the layer behind it; a second one is kept.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saccade.core.errors import BadCheckpoint
from saccade.interop.checkpoint_mapping import (
    CAFFE,
    HEADS,
    Bundle,
    ImageInput,
    Reading,
    Source,
    Tensors,
    check_sizes,
    one_end_words,
    read_file,
    skeleton,
    sources,
)
from saccade.interop.torch_files import Inert
from saccade.models.catalogue import (
    AdaptiveAttentionConfig,
    AoaConfig,
    Att2inConfig,
    ModelConfig,
    ShowTellConfig,
    TransformerConfig,
    UpDownConfig,
)
from saccade.recipes.show_tell import RUOTIANLUO
from saccade.text.vocabulary import Words


class Net(NamedTuple):
    """One of the program's networks, and which of saccade's it is."""

    sign: str
    """A layer that no other one has."""
    recipe: str
    config: type[ModelConfig]
    fixed: Mapping[str, Any]
    """Fields that every such network has."""
    names: Mapping[str, str]
    sizes: Mapping[str, tuple[str, int]]
    """Which fields are the rows (0) or columns (1) of which tensors. The first of these tensors
    has a row per word."""
    image: tuple[str, str] = ("att_embed", "project_regions")
    """The layer that takes regions: its name there, empty if it is named above, and here."""
    reorders_gates: bool = False
    """Whether ours has torch's order of gates."""
    limit: str = ""
    """The option that says how long captions become, where evaluation does not."""
    heads: str = ""
    """The option that says how many attention heads there are, where there are any."""


MEAN = {"init_pool": "mean", "pool_size": None, "batch_norm": None}
"""Show and Tell as it hears the mean region first."""

ADAATT = Net(
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
    reorders_gates=True,
)
NEWFC = Net(
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
    ("", "project_image"),
)
# The first sign counts that the tensors have: later nets share layers with earlier ones.
NETS = {
    "aoa": Net(
        "core.att2ctx.",
        "aoa",
        AoaConfig,
        {},
        {
            "embed.0": "embed",
            "refiner.norm": "refiner_norm",
            "ctx2att": "values_and_keys",
            "core.att_lstm": "lstm",
            "core.attention.norm": "query_norm",
            "core.attention.linears.0": "query",
            "core.att2ctx.0": "gate",
            "logit": "output",
        },
        {"embedding": ("embed.0.weight", 1), "hidden": ("core.att_lstm.weight_hh", 1)},
        heads="num_heads",
    ),
    "att2in2": Net(
        "core.a2c.",
        "att2in",
        Att2inConfig,
        {},
        {
            "embed.0": "embed",
            "ctx2att": "key",
            "core.i2h": "word_gates",
            "core.h2h": "hidden_gates",
            "core.a2c": "image_candidates",
            "core.attention.h2att": "query",
            "core.attention.alpha_net": "score",
            "logit": "output",
        },
        {
            "embedding": ("embed.0.weight", 1),
            "hidden": ("core.h2h.weight", 1),
            "attention": ("ctx2att.weight", 0),
        },
    ),
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
    ),
    "adaatt": ADAATT,
    "adaattmo": ADAATT._replace(fixed={"variant": "lua", "cell": "maxout"}, reorders_gates=False),
    "newfc": NEWFC,
    "fc": NEWFC._replace(
        sign="core.i2h.",
        names={
            name.replace("fc_embed", "img_embed").replace("_core", "core"): ours
            for name, ours in NEWFC.names.items()
        },
        sizes={"embedding": ("embed.weight", 1), "hidden": ("core.h2h.weight", 1)},
        limit="seq_length",
    ),
    "show_tell": Net(
        "img_embed.",
        "show-tell-first-word",
        ShowTellConfig,
        {"cell": "lstm", "cell_bias": False, "image_bias": True} | MEAN,
        {"img_embed": "project_image", "embed": "embed", "core": "lstm", "logit": "output"},
        {"embedding": ("embed.weight", 1), "hidden": ("core.weight_hh_l0", 1)},
        ("", "project_image"),
        limit="seq_length",
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
        heads="num_att_heads",
    ),
}
ATTENTIONS = {
    "encoder": {"self": "self_attn"},
    "decoder": {"self": "self_attn", "cross": "src_attn"},
}
"""Attention to what is said and to the image, in a Transformer's stacks: its name here, and there.
"""
EPSILON = 1e-5
"""Of torch's batch norms."""


REFINER = {
    **{f"self_attn.linears.{n}": part for n, part in enumerate(("query", "key", "value"))},
    "self_attn.aoa_layer.0": "gate",
    "sublayer.0.norm": "norm",
}
"""A layer of AoANet that refines regions: its parts there, and here."""


def refiner_layers(tensors: Tensors) -> dict[str, str]:
    """All of them by name, at least one."""
    return {
        f"refiner.layers.{i}.{theirs}": f"refiner.{i}.{ours}"
        for i in range(max(tensors.count(r"refiner\.layers\.(\d+)\."), 1))
        for theirs, ours in REFINER.items()
    }


def layers_of(tensors: Tensors) -> dict[str, int]:
    """How many layers a Transformer's stacks have, at least one."""
    return {
        f"{stack}_layers": max(tensors.count(rf"model\.{stack}\.layers\.(\d+)\."), 1)
        for stack in ATTENTIONS
    }


def transformer_layers(tensors: Tensors) -> tuple[dict[str, str], dict[str, Source]]:
    """All layers of both stacks by name, but keys and values; and these, two layers there, one
    here.
    """
    names, joined, layers = {}, {}, layers_of(tensors)
    for stack, blocks in ATTENTIONS.items():
        for i in range(layers[f"{stack}_layers"]):
            theirs, ours = f"model.{stack}.layers.{i}", f"{stack}.{i}"
            for place, (block, published) in enumerate(blocks.items()):
                names[f"{theirs}.sublayer.{place}.norm"] = f"{ours}.{block}_norm"
                names[f"{theirs}.{published}.linears.0"] = f"{ours}.{block}_attention.query"
                names[f"{theirs}.{published}.linears.3"] = f"{ours}.{block}_attention.merge"
                keys = f"{ours}.keys" if block == "self" else f"region_keys.{i}"
                for leaf in ("weight", "bias"):
                    both = tuple(f"{theirs}.{published}.linears.{n}.{leaf}" for n in (1, 2))
                    joined[f"{keys}.{leaf}"] = Source(both, lambda *two: torch.cat(two))
            names[f"{theirs}.sublayer.{len(blocks)}.norm"] = f"{ours}.feed_forward.0"
            names[f"{theirs}.feed_forward.w_1"] = f"{ours}.feed_forward.1"
            names[f"{theirs}.feed_forward.w_2"] = f"{ours}.feed_forward.4"
    return names, joined


def self_critical(bundle: Bundle) -> Reading:
    """One of `NETS`, as its tensors tell."""
    tensors = bundle.tensors()
    tensors = tensors.without(r"model\.tgt_embed\.1\.pe|att_embed\.0\.num_batches_tracked")
    name = _network(tensors, bundle)
    layout, net = f"self-critical ({name})", NETS[name]
    model = _structure(tensors, net)
    made = partial(_sources, tensors, net)
    wanted = made(skeleton(net.config(**model)))
    tensors.require(wanted, layout)
    _, dim = tensors.matrix(wanted[f"{net.image[1]}.weight"].names[0])
    model |= {field: tensors.matrix(key)[side] for field, (key, side) in net.sizes.items()}

    # The infos of the best epoch belong to the best epoch's weights.
    infos, best = sorted(bundle.path.parent.glob("infos_*.pkl")), "best" in bundle.path.stem
    infos = [path for path in infos if path.stem.endswith("-best") == best]
    location = bundle.beside("words", "infos_*.pkl", infos)
    content = read_file(location)  # infos, or words alone, from the JSON of the program's data
    about = content if isinstance(content, dict) else {}
    vocabulary = one_end_words(about.get("vocab", about.get("ix_to_word")), location)
    rows, _ = tensors.matrix(next(iter(net.sizes.values()))[0])
    check_sizes("words and the end", len(vocabulary), rows, location)
    given = about.get("opt")
    options = given.attributes if isinstance(given, Inert) else {}
    if options.get("out_res"):
        message = f"{layout}: with out_res=1 the LSTM's state is added to what it says"
        raise BadCheckpoint(message, location=location, hint="Only out_res=0 can be imported.")
    if net.heads:  # of which infos without that option, as the program, have 8
        model["heads"] = options.get(net.heads, 8)
    decode = RUOTIANLUO.model_dump() | {"beam_size": 5}
    decode |= {"max_length": options.get(net.limit, 16)} if net.limit else {}
    images = ImageInput("timm:resnet101.tv_in1k", 448)
    notes = [CAFFE.format(network="ResNet-101, or of detected boxes", backbone=images.backbone)]
    if net.heads and not options:
        notes.append(HEADS.format("model.heads=8"))
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
        recipe_fields={f"decode.{field}": value for field, value in decode.items()},
        notes=tuple(notes),
    )


def _network(tensors: Tensors, bundle: Bundle) -> str:
    """Which of `NETS` it is. Raises BadCheckpoint."""
    name = next((n for n, net in NETS.items() if any(net.sign in key for key in tensors)), None)
    if name is None:
        first, hint = next(iter(tensors)), f"Known are: {', '.join(NETS)}."
        message = f"its tensors are those of no network known here; the first is {first}"
        raise BadCheckpoint(message, location=bundle.path, hint=hint)
    recurrent = tensors.get("core.lstm.h2h.0.weight")
    if name == "adaatt" and recurrent and recurrent.shape[0] == 5 * recurrent.shape[-1]:
        return "adaattmo"  # five gates: of these two are candidates
    return name


def _structure(tensors: Tensors, net: Net) -> dict[str, Any]:
    """Fields of the model that say which tensors there are."""
    model = dict(net.fixed)
    if net.config is TransformerConfig:
        model |= layers_of(tensors)
    elif net.config is AoaConfig:
        model["layers"] = len(refiner_layers(tensors)) // len(REFINER)
    if "region_norm" in net.config.model_fields:  # use_bn=2
        model["region_norm"] = any(key.startswith("att_embed.4.") for key in tensors)
    return model


def _sources(tensors: Tensors, net: Net, model: nn.Module) -> dict[str, Source]:
    """Where each of our tensors comes from: by names, gates in torch's order, norms folded."""
    names = dict(net.names)
    theirs, ours = net.image
    normed = "att_embed.0.running_mean" in tensors
    if theirs:
        names[f"{theirs}.{int(normed)}"] = ours  # the layer stands behind the norm
        names[f"{theirs}.4"] = "region_norm"
    joined: dict[str, Source] = {}
    if net.config is TransformerConfig:
        layers, joined = transformer_layers(tensors)
        names |= layers
    elif net.config is AoaConfig:
        names |= refiner_layers(tensors)
    found = sources(model, names, but=joined)
    for key, source in found.items():
        if net.reorders_gates and key.startswith(("word_gates.", "mean_gates.", "hidden_gates.")):
            found[key] = Source(source.names, _gates_to_torch)
        elif key.endswith((".scale", ".shift")):  # of layer norms
            (name,) = source.names
            found[key] = Source((name.replace(".scale", ".a_2").replace(".shift", ".b_2"),))
    if theirs and normed:
        norm = [f"{theirs}.0.{part}" for part in ("weight", "running_var", "bias", "running_mean")]
        weight = f"{theirs}.1.weight"
        found[f"{ours}.weight"] = Source((weight, *norm[:2]), _folded_weight)
        found[f"{ours}.bias"] = Source((f"{theirs}.1.bias", weight, *norm), _folded_bias)
    return found | joined


def _gates_to_torch(tensor: Tensor) -> Tensor:
    """Rows in, forget, out, candidate -> torch's in, forget, candidate, out."""
    enter, keep, leave, candidate = tensor.tensor_split(4)
    return torch.cat([enter, keep, candidate, leave])


def _folded_weight(weight: Tensor, scale: Tensor, variance: Tensor) -> Tensor:
    """A linear layer that also does what a batch norm before it did in evaluation."""
    return weight * (scale / (variance + EPSILON).sqrt())


def _folded_bias(
    bias: Tensor, weight: Tensor, scale: Tensor, variance: Tensor, shift: Tensor, mean: Tensor
) -> Tensor:
    return bias + weight @ (shift - mean * scale / (variance + EPSILON).sqrt())
