"""Every system in small, with the variants whose graphs differ, for the parity table of exports."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.onnx._internal.exporter import _registration

from saccade.data.batch import Sizes
from saccade.interop.export_graphs import Counts, Graph, caption_graphs, vqa_graph
from saccade.interop.export_onnx import differences, write_graph
from saccade.models.catalogue import MODELS, build_model
from saccade.models.ensemble import Ensemble

BOXES = Sizes(words=20, region_dim=6, answers=7, regions=9)
GRID = BOXES._replace(grid=(2, 3), regions=6)
NARROW = {"embedding": 8, "hidden": 8}
CASES: dict[str, tuple[str, Sizes, dict[str, Any]]] = {
    "ibowimg": ("ibowimg", BOXES, {}),
    "ibowimg, question only": ("ibowimg", BOXES, {"inputs": "question"}),
    "lstm_cnn": ("lstm_cnn", BOXES, {}),
    "lstm_cnn, basic_vqa": ("lstm_cnn", BOXES, {"form": "basic_vqa", "padded_to": 9}),
    "san, convolution": ("san", BOXES, {}),
    "san, lstm": ("san", BOXES, {"reader": "lstm", "hidden": 16}),
    "san, released lstm": (
        "san",
        GRID,
        {"reader": "released_lstm", "hidden": 16, "attention": "released"},
    ),
    "show_ask_attend_answer": ("show_ask_attend_answer", BOXES, {}),
    "show_ask_attend_answer, grid": ("show_ask_attend_answer", GRID, {}),
    "joint_embedding": ("joint_embedding", BOXES, {}),
    "joint_embedding, baseline0": (
        "joint_embedding",
        BOXES,
        {"form": "baseline0", "reader": "lstm"},
    ),
    "joint_embedding, openvqa": (
        "joint_embedding",
        BOXES,
        {"form": "openvqa", "reader": "lstm", "regions_padded_to": 12},
    ),
    "joint_embedding, both ways": (
        "joint_embedding",
        BOXES,
        {"padded_to": None, "bidirectional": True, "layers": 2},
    ),
    "mcan": ("mcan", BOXES, {}),
    "product_of_experts": ("product_of_experts", BOXES, {}),
    "product_of_experts, grid": ("product_of_experts", GRID, {}),
    "product_of_experts, rubi": ("product_of_experts", BOXES, {"prior": "rubi"}),
    "product_of_experts, lmh": ("product_of_experts", BOXES, {"prior": "lmh"}),
    "pitvqa, fixed": ("pitvqa", BOXES, {}),
    "pitvqa, faithful": ("pitvqa", BOXES, {"mode": "faithful"}),
    "ensemble of answers": ("ensemble", BOXES, {"kind": "show_ask_attend_answer"}),
    "show_tell": ("show_tell", BOXES, {}),
    "show_tell, pooled": (
        "show_tell",
        GRID,
        {"init_pool": "flatten", "pool_size": 4, "batch_norm": 0.1},
    ),
    "show_tell, flatten": ("show_tell", BOXES, {"init_pool": "flatten"}),
    "show_tell, maxout": ("show_tell", BOXES, {"cell": "maxout"}),
    "show_tell, gru": ("show_tell", BOXES, {"cell": "gru"}),
    "show_tell, rnn": ("show_tell", BOXES, {"cell": "rnn"}),
    "show_attend_tell": ("show_attend_tell", BOXES, {}),
    "show_attend_tell, pooled": ("show_attend_tell", GRID, {"pool_size": 4}),
    "show_attend_tell, gru": ("show_attend_tell", BOXES, {"cell": "gru", "gate": "scalar"}),
    "show_attend_tell, rnn": ("show_attend_tell", BOXES, {"cell": "rnn"}),
    "adaptive_attention": ("adaptive_attention", BOXES, {}),
    "adaptive_attention, lua": (
        "adaptive_attention",
        BOXES,
        {"variant": "lua", "cell": "maxout", "region_norm": True, **NARROW},
    ),
    "att2in": ("att2in", BOXES, {"region_norm": True}),
    "up_down": ("up_down", BOXES, {}),
    "up_down, gru": ("up_down", GRID, {"cell": "gru"}),
    "aoa": ("aoa", BOXES, {}),
    "transformer": ("transformer", BOXES, {"region_norm": True}),
    "transformer, grid": ("transformer", GRID, {}),
    "ensemble of captions": ("ensemble", BOXES, {"kind": "up_down"}),
}
"""By what stands in the table: a model's name, the sizes of its data, and changed settings."""


def model_of(case: str) -> tuple[nn.Module, str, Sizes]:
    """A model with random weights everywhere, its task, and the sizes of its data."""
    name, sizes, changes = CASES[case]
    name = changes.get("kind", name)
    entry = MODELS[name]
    torch.manual_seed(0)
    members = []
    for _ in range(1 + ("kind" in changes)):
        given = {**entry.small_sizes, **changes}
        members.append(build_model(entry.config(**given), sizes).eval())
        for name, one in members[-1].state_dict().items():
            if one.dtype == torch.float32 and one.dim():  # also what begins as zeros
                change = 0.1 * torch.randn_like(one)
                one.add_(change.abs() if "var" in name else change)
    model = members[0] if len(members) == 1 else Ensemble(members).eval()
    return model, entry.task, sizes


def graphs_of(case: str) -> dict[str, Graph]:
    model, task, sizes = model_of(case)
    if task == "caption":
        return caption_graphs(model, sizes)
    return {"model": vqa_graph(model, sizes, 30 if case.startswith("pitvqa") else None)}


def parity(case: str, folder: Path) -> Iterator[tuple[str, dict[Counts, float]]]:
    """Each graph of a case, written into a folder, with its differences at three sizes."""
    for name, graph in graphs_of(case).items():
        path = folder / f"{case.replace(', ', '-').replace(' ', '_')}.{name}.onnx"
        write_graph(graph, path)
        yield name, differences(graph, path)


def read_the_registry_once() -> None:
    """The exporter reads the sources of its 500 operators again for every graph: half its time."""
    registry = _registration.ONNXRegistry
    once = lru_cache(registry.from_torchlib)
    registry.from_torchlib = staticmethod(once)  # type: ignore[method-assign]
