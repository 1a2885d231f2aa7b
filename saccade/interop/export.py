"""A run for programs without saccade and torch: graphs in ONNX, and one JSON file about them.

    encoder.onnx            from resized pixels to regions; not of detectors and imported features
    model.onnx              of a VQA run: from regions and question to answers and attention
    init.onnx, step.onnx    of a captioner: its state of an image; one word of every beam
    export.json             all else: preprocessing, words, answers, search, shapes, SHA-256s

A folder is left only where every graph gave the numbers of the model.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from saccade.core.errors import BadConfig
from saccade.core.files import folder_in_one_go, sha256_of, write_json
from saccade.core.run_files import WEIGHTS
from saccade.data.batch import Sizes
from saccade.features.backbones import build_backbone
from saccade.features.reduction import Reducer
from saccade.features.settings import IMPORTED
from saccade.interop.export_graphs import (
    EncoderGraph,
    Graph,
    OwnEncoderGraph,
    caption_graphs,
    encoder_graph,
    vqa_graph,
)
from saccade.interop.export_onnx import (
    OPSET,
    TOLERANCE,
    differences,
    signature,
    write_graph,
)
from saccade.interop.export_words import described
from saccade.models.catalogue import MODELS
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import BACKBONE, OpenedRun
from saccade.text.segmentation import BETWEEN

FORMAT = 1
NO_ENCODER = {
    "detector": "a detector's boxes are chosen by code around its network, which is no graph",
    IMPORTED: "the features came from another program's file, whose network is not at hand",
}


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    differences: dict[str, float]
    """Of each graph: the greatest difference from the model's numbers that was met."""
    without_encoder: str | None
    """Why there is no encoder, where there is none."""


def export_onnx(run: OpenedRun, model: nn.Module, rules: dict[str, Any], out: Path) -> Exported:
    """Write a run's graphs into a new folder; `model` is the run's, on the CPU, in eval mode.

    `rules` are those by which captions are searched for, with `beam_size`. Raises BadConfig where
    a graph cannot be written, or gives other numbers than the model; MissingWeights where the
    backbone's weights are not at hand.
    """
    header, why = run.header, _without_encoder(run)
    graphs = {} if why else {"encoder": _encoder(run, model)}
    sizes = header.sizes._replace(grid=header.store.grid, regions=header.store.regions)
    if isinstance(model, EncodedModel):
        with torch.no_grad():
            regions = graphs["encoder"].module(torch.zeros(1, 3, *model.spec.size))
        _, count, dim = regions.shape
        sizes = sizes._replace(region_dim=dim, grid=model.spec.grid, regions=count)
    graphs |= _graphs(run, without_encoder(model), sizes)
    found: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]), folder_in_one_go(out) as folder:
        torch.manual_seed(0)
        for name, graph in graphs.items():
            write_graph(graph, folder / f"{name}.onnx")
            found[name] = max(differences(graph, folder / f"{name}.onnx").values())
            if not found[name] <= TOLERANCE:
                message = f"{name}.onnx gives other numbers than the model, by {found[name]:.1e}"
                hint = "Use the run itself, and report it with this sentence."
                raise BadConfig(message, location=run.path, hint=hint)
        about = _described(run, sizes, [*graphs], folder)
        words = run.words.answers
        about |= {"without_encoder": why} | ({} if words else {"search": rules})
        if "step" in graphs:
            about["beam_states"] = sum(name.startswith("beam") for name in graphs["step"].inputs)
        write_json(folder / "export.json", about)
    return Exported(out, found, why)


def _without_encoder(run: OpenedRun) -> str | None:
    """Why a run's images cannot be encoded by a graph."""
    spec = run.header.store.backbone
    return NO_ENCODER.get("detector" if spec.library == "torchvision" else spec.library)


def _encoder(run: OpenedRun, model: nn.Module) -> Graph:
    store = run.header.store
    if isinstance(model, EncodedModel):
        return encoder_graph(OwnEncoderGraph(model), store.preprocessing)
    kept = run.path / BACKBONE
    backbone = build_backbone(store.backbone, kept if kept.exists() else None)
    reducer = Reducer(run.path, store.reduction, store.dtype, store.scale)
    return encoder_graph(EncoderGraph(backbone, reducer, store.preprocessing), store.preprocessing)


def _graphs(run: OpenedRun, model: nn.Module, sizes: Sizes) -> dict[str, Graph]:
    recipe = run.header.recipe
    if recipe.task == "caption":
        return caption_graphs(model, sizes)
    limits = (recipe.text.max_length, getattr(recipe.model, "max_length", None))
    return {"model": vqa_graph(model, sizes, min(filter(None, limits), default=None))}


def _described(run: OpenedRun, sizes: Sizes, graphs: list[str], folder: Path) -> dict[str, Any]:
    """The content of `export.json`, but for what only the caller knows."""
    header, words = run.header, run.words
    recipe, settings = header.recipe, header.store.preprocessing
    steps = settings.model_dump(mode="json", exclude={"mean", "std"}) | {"antialias": True}
    fill = (np.array(settings.mean, np.float32) * 255).round().astype(int).tolist()
    about = {
        "format": FORMAT,
        "task": recipe.task,
        "system": recipe.model.kind,
        "title": MODELS[recipe.model.kind].title,
        "recipe": header.recipe_name,
        "weights_sha256": sha256_of(run.path / WEIGHTS),
        "versions": {name: version(name) for name in ("saccade", "torch", "onnx")},
        "opset": OPSET,
        "tolerance": TOLERANCE,
        "preprocessing": {**steps, "fill": fill},
        "normalised_in_the_graph": {"mean": settings.mean, "std": settings.std},
        "grid": sizes.grid,
        "regions": sizes.regions,
        "graphs": {name: signature(folder / f"{name}.onnx") for name in graphs},
        "sha256": {file.name: sha256_of(file) for file in sorted(folder.iterdir())},
        "vocabulary": described(words.vocabulary, recipe.text.max_length),
    }
    if recipe.answers is None or words.answers is None:
        return about | {"no_blank_between": BETWEEN}
    shares = "sigmoid" if recipe.answers.loss == "logistic" else "softmax"
    return about | {"answers": list(words.answers.answers), "probabilities": shares}
