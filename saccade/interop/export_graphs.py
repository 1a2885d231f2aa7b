"""Graphs of a model: modules that take and return plain tensors, and what their inputs are.

A VQA model is one graph. A captioner is two: what is done once for an image, and one step, so that
the search for a caption stays with the program that runs them. The encoder is a further one: from
pixels of the right size to regions, rounded as the feature store rounds them.

Shapes: I images, B questions, K beams, R regions, D numbers per region, h x w pixels.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from saccade.data.batch import Captioner, CaptionState, Sizes, VqaBatch, VqaModel
from saccade.features.backbones import Backbone
from saccade.features.preprocessing import normalise
from saccade.features.reduction import INT8_MAX, Reducer, to_bytes
from saccade.features.settings import PIXELS, Preprocessing
from saccade.models.encoder import EncodedModel

Inputs = tuple[Tensor, ...]
Shape = tuple[str | int, ...]


class Counts(NamedTuple):
    """Sizes that may be others at every run."""

    images: int
    regions: int
    words: int
    beam_size: int


class Graph(NamedTuple):
    """A module, and the inputs and outputs of its graph."""

    module: nn.Module
    inputs: Mapping[str, Shape]
    """A number, or the name of a size that may be another at every run."""
    outputs: tuple[str, ...]
    example: Callable[[Counts], Inputs]
    """Random inputs, with padding."""
    step: Callable[[Tensor], Tensor] | None = None
    """The distance of two numbers that are neighbours after rounding, where outputs are rounded."""


class VqaGraph(nn.Module):
    """A VQA model on one image for each question."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, regions: Tensor, mask: Tensor, question: Tensor, length: Tensor) -> Inputs:
        """Logits (B, A), and attention (B, G, R) where there is any."""
        image = torch.arange(regions.shape[0], device=regions.device)
        batch = VqaBatch(regions, mask, image, question, length)
        output = cast(VqaModel, self.model)(batch)
        return tuple(one for one in (output.logits, output.attention) if one is not None)


class StateGraph(nn.Module):
    """What a captioner makes of images before the first word."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, regions: Tensor, mask: Tensor) -> Inputs:
        """The parts of its state, those of images first."""
        state = cast(Captioner, self.model).init_state(regions, mask)
        return *state.per_image, *state.per_beam


class StepGraph(nn.Module):
    """A captioner that reads one word of every beam."""

    def __init__(self, model: nn.Module, per_image: int) -> None:
        super().__init__()
        self.model, self.per_image = model, per_image

    def forward(self, words: Tensor, *state: Tensor) -> Inputs:
        """Logits (I, K, V), attention (I, K, R) and sentinel (I, K) where there are any, and the
        next state of the beams.
        """
        given = CaptionState(state[: self.per_image], state[self.per_image :])
        output = cast(Captioner, self.model).step(words, given)
        found = (output.logits, output.attention, output.sentinel)
        return *(one for one in found if one is not None), *output.state.per_beam


class EncoderGraph(nn.Module):
    """The frozen network that made a store, and all that follows it down to the rounding."""

    def __init__(self, backbone: Backbone, reducer: Reducer, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone, self.reducer, self.preprocessing = backbone, reducer, preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        """From resized images `(I, 3, h, w)` uint8 to regions `(I, R, D)` float32."""
        has_none = self.backbone.spec.name == PIXELS
        images = pixels if has_none else normalise(pixels, self.preprocessing)
        regions, grid = self.backbone.encode_grid(images)
        reducer = self.reducer
        regions = reducer.reduce(regions, None if self.backbone.kept_tokens else grid)
        if reducer.dtype != "int8":
            return reducer.rounded(regions)
        channel = reducer.tensors.get("scales")
        packed = to_bytes(regions, channel)
        return packed.values.float() * (packed.scales[..., None] if channel is None else channel)

    def step(self, regions: Tensor) -> Tensor:
        """How far apart two neighbours among the rounded numbers are, at most."""
        if self.reducer.dtype == "float16":
            return regions.abs() / 2**10 + 2**-24
        if self.reducer.dtype != "int8":
            return torch.zeros_like(regions)
        channel = self.reducer.tensors.get("scales")
        return regions.abs().amax(dim=2, keepdim=True) / INT8_MAX if channel is None else channel


class OwnEncoderGraph(nn.Module):
    """The image encoder that was trained together with a model."""

    def __init__(self, whole: EncodedModel) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, pixels: Tensor) -> Tensor:
        """From resized images `(I, 3, h, w)` uint8 to regions `(I, R, D)`."""
        return self.whole.encode(pixels.flatten(2).mT)[0]


def encoder_graph(module: EncoderGraph | OwnEncoderGraph, settings: Preprocessing) -> Graph:
    """The graph of an encoder."""
    shape = 3, settings.height, settings.width

    def pixels(counts: Counts) -> Inputs:
        return (torch.randint(256, (counts.images, *shape), dtype=torch.uint8),)

    step = module.step if isinstance(module, EncoderGraph) else None
    return Graph(module, {"pixels": ("images", *shape)}, ("regions",), pixels, step)


def vqa_graph(model: nn.Module, sizes: Sizes, max_words: int | None) -> Graph:
    """The graph of a VQA model behind its encoder; `max_words` of a question, if there is a limit.

    Regions of a grid are always as many; boxes may be any number.
    """
    shapes, images = _images(sizes)

    def questions(counts: Counts) -> Inputs:
        words = min(counts.words, max_words or counts.words)
        length = torch.randint(1, words + 1, (counts.images,))
        question = torch.randint(sizes.words, (counts.images, words))
        return *images(counts), question, length

    graph = VqaGraph(model)
    with torch.no_grad():
        found = graph(*questions(Counts(2, 2, 2, 1)))
    shapes |= {"question": ("images", "words"), "question_length": ("images",)}
    return Graph(graph, shapes, ("logits", "attention")[: len(found)], questions)


def caption_graphs(model: nn.Module, sizes: Sizes) -> dict[str, Graph]:
    """The graphs of a captioner behind its encoder: `init` and `step`."""
    captioner, (shapes, images) = cast(Captioner, model), _images(sizes)

    @torch.no_grad()
    def steps(counts: Counts) -> Inputs:
        state, beams = captioner.init_state(*images(counts)), (counts.images, counts.beam_size)
        state = state.pick(torch.zeros(beams, dtype=torch.int64))
        for _ in range(counts.words - 1):
            state = captioner.step(torch.randint(sizes.words, beams), state).state
        return torch.randint(sizes.words, beams), *state.per_image, *state.per_beam

    with torch.no_grad():
        few, more = (captioner.init_state(*images(Counts(2, n, 1, 1))) for n in (4, 5))
        read = captioner.step(torch.zeros(2, 1, dtype=torch.int64), few)
    step: dict[str, Shape] = {"words": ("images", "beams")}
    for n, (one, other) in enumerate(zip(few.per_image, more.per_image, strict=True)):
        step[f"image_{n}"] = "images", *_named(one, other, "regions")[1:]
    for n, (one, other) in enumerate(zip(few.per_beam, read.state.per_beam, strict=True)):
        step[f"beam_{n}"] = "images", "beams", *_named(one, other, "earlier")[2:]
    state = tuple(name for name in step if name != "words")
    has = (name for name in ("attention", "sentinel") if getattr(read, name) is not None)
    outputs = ("logits", *has, *(f"next_{name}" for name in state if name.startswith("beam")))
    return {
        "init": Graph(StateGraph(model), shapes, state, images),
        "step": Graph(StepGraph(model, len(few.per_image)), step, outputs, steps),
    }


def _images(sizes: Sizes) -> tuple[dict[str, Shape], Callable[[Counts], Inputs]]:
    """Shapes of the inputs that images are given by, and random ones; boxes with padding."""
    count: str | int = sizes.regions if sizes.grid else "regions"
    shapes: dict[str, Shape] = {
        "regions": ("images", count, sizes.region_dim),
        "region_mask": ("images", count),
    }

    def images(counts: Counts) -> Inputs:
        regions = sizes.regions if sizes.grid else counts.regions
        real = torch.randint(regions if sizes.grid else 1, regions + 1, (counts.images, 1))
        return torch.randn(counts.images, regions, sizes.region_dim), torch.arange(regions) < real

    return shapes, images


def _named(one: Tensor, other: Tensor, name: str) -> Shape:
    """The shape of a tensor, where the size that another one has otherwise goes by a name."""
    return tuple(a if a == b else name for a, b in zip(one.shape, other.shape, strict=True))
