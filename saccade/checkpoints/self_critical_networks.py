"""The networks of ruotianluo's self-critical.pytorch, and which of saccade's each one is.

Names as in the captioning specification, 1.2, 3.3, 4.5 and 4.6.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from saccade.checkpoints.renaming import Source, Tensors, count, side_by_side
from saccade.models.adaptive_attention import AdaptiveAttentionConfig
from saccade.models.show_tell import ShowTellConfig
from saccade.models.transformer import TransformerConfig
from saccade.models.up_down import UpDownConfig


class Net(NamedTuple):
    """One of the program's networks, and which of saccade's it is."""

    sign: str
    """A layer that no other one has."""
    recipe: str
    config: Callable[..., BaseModel]
    fixed: Mapping[str, Any]
    """Fields that every such network has."""
    names: Mapping[str, str]
    sizes: Mapping[str, tuple[str, int]]
    """Which fields are the rows (0) or columns (1) of which tensors."""
    rows: str
    """The tensor with a row per word."""
    see: tuple[str, str]
    """The layer that takes regions: its name there, and here."""


MEAN = {"init_pool": "mean", "view": None, "batch_norm": None}
"""Show and Tell as it hears the mean region first."""

NETS = {
    "updown": Net(
        "core.att_lstm.",
        "up-down",
        UpDownConfig,
        {},
        {
            "embed.0": "embed",
            "fc_embed.0": "see_whole",
            "core.att_lstm": "look",
            "core.lang_lstm": "speak",
            "ctx2att": "project",
            "core.attention.h2att": "ask",
            "core.attention.alpha_net": "score",
            "logit": "say",
        },
        {
            "embedding": ("embed.0.weight", 1),
            "hidden": ("core.att_lstm.weight_hh", 1),
            "attention": ("ctx2att.weight", 0),
        },
        "embed.0.weight",
        ("att_embed", "see_region"),
    ),
    "adaatt": Net(
        "core.lstm.w2h.",
        "adaptive-attention-lua",
        AdaptiveAttentionConfig,
        {"variant": "lua"},
        {
            "embed.0": "embed",
            "fc_embed.0": "see_whole",
            "core.lstm.w2h": "word_gates",
            "core.lstm.v2h": "whole_gates",
            "core.lstm.h2h.0": "hidden_gates",
            "core.lstm.r_w2h": "sentinel_word",
            "core.lstm.r_v2h": "sentinel_whole",
            "core.lstm.r_h2h": "sentinel_hidden",
            "ctx2att": "project",
            "core.attention.fr_linear.0": "sentinel_value",
            "core.attention.fr_embed": "project_sentinel",
            "core.attention.ho_linear.0": "hidden_value",
            "core.attention.ho_embed": "ask",
            "core.attention.alpha_net": "score",
            "core.attention.att2h": "tell",
            "logit": "say",
        },
        {
            "embedding": ("embed.0.weight", 1),
            "hidden": ("fc_embed.0.weight", 0),
            "attention": ("ctx2att.weight", 0),
        },
        "embed.0.weight",
        ("att_embed", "see_region"),
    ),
    "newfc": Net(
        "_core.i2h.",
        "show-tell-first-word",
        ShowTellConfig,
        {"cell": "maxout", "cell_bias": True, "picture_bias": True} | MEAN,
        {
            "fc_embed": "see",
            "embed": "embed",
            "_core.i2h": "cell.hear",
            "_core.h2h": "cell.keep",
            "logit": "say",
        },
        {"embedding": ("embed.weight", 1), "hidden": ("_core.h2h.weight", 1)},
        "embed.weight",
        ("", "see"),
    ),
    "show_tell": Net(
        "img_embed.",
        "show-tell-first-word",
        ShowTellConfig,
        {"cell": "lstm", "cell_bias": False, "picture_bias": True} | MEAN,
        {"img_embed": "see", "embed": "embed", "core": "cell", "logit": "say"},
        {"embedding": ("embed.weight", 1), "hidden": ("core.weight_hh_l0", 1)},
        "embed.weight",
        ("", "see"),
    ),
    "transformer": Net(
        "model.encoder.layers.",
        "transformer",
        TransformerConfig,
        {},
        {
            "model.encoder.norm": "encoded",
            "model.decoder.norm": "decoded",
            "model.tgt_embed.0.lut": "embed",
            "model.generator.proj": "say",
        },
        {
            "width": ("model.tgt_embed.0.lut.weight", 1),
            "feed_forward": ("model.encoder.layers.0.feed_forward.w_1.weight", 0),
        },
        "model.tgt_embed.0.lut.weight",
        ("att_embed", "see"),
    ),
}


PUBLISHED = ("self_attn", "src_attn")
"""Attention to what is said, and to the picture."""


def layers_of(tensors: Tensors) -> dict[str, int]:
    """How many layers a Transformer's stacks have, at least one."""
    return {
        f"{stack}_layers": max(count(tensors, rf"model\.{stack}\.layers\.(\d+)\."), 1)
        for stack in ("encoder", "decoder")
    }


def transformer_names(tensors: Tensors) -> dict[str, str]:
    """All layers of both stacks but keys and values."""
    names, blocks_of = {}, {"encoder": ("listen",), "decoder": ("listen", "look")}
    for stack, blocks in blocks_of.items():
        for i in range(layers_of(tensors)[f"{stack}_layers"]):
            theirs, ours = f"model.{stack}.layers.{i}", f"{stack}.{i}"
            for place, (block, published) in enumerate(zip(blocks, PUBLISHED, strict=False)):
                names[f"{theirs}.sublayer.{place}.norm"] = f"{ours}.{block}_norm"
                names[f"{theirs}.{published}.linears.0"] = f"{ours}.{block}.query"
                names[f"{theirs}.{published}.linears.3"] = f"{ours}.{block}.join"
            names[f"{theirs}.sublayer.{len(blocks)}.norm"] = f"{ours}.think.0"
            names[f"{theirs}.feed_forward.w_1"] = f"{ours}.think.1"
            names[f"{theirs}.feed_forward.w_2"] = f"{ours}.think.4"
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
