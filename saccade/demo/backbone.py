"""The small eye of the demonstration: a network taught to name what each cell of an image shows.

Backbones are usually trained on a million photos. Nothing may be fetched here, so one of timm's
smallest networks learns the Shapes world first, from the training scenes alone: for every cell of
its grid it says which kind, colour and size of shape is there, which texture the ground has, and
in which row and column it stands. Then the six classifiers are thrown away; what remains is
frozen and serves as any other backbone does (`extract --weights FILE`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.core.errors import BadData
from saccade.data.records import Split
from saccade.datasets.shapes import ShapesImage, read_scenes
from saccade.datasets.shapes_scenes import COLORS, KINDS, SIZES, TEXTURES, cell_labels
from saccade.features.backbones import Backbone, build_backbone, preprocessing_for
from saccade.features.images import read_image
from saccade.features.preprocessing import normalise, resize_and_crop
from saccade.features.settings import BackboneSpec, Option, Preprocessing

NAME = "timm:test_resnet"
OPTIONS: dict[str, Option] = {"output_stride": 16}
"""Keeps an 8 x 8 grid of a 128-pixel image; the network's own stride of 32 would leave 4 x 4."""
LABELS = ("kind", "color", "size", "texture", "row", "column")
WEIGHTS = (1.0, 1.0, 1.0, 0.3, 0.3, 0.3)
"""Of the labels' losses: the shapes are what questions are about."""
LEARNING_RATE = 4e-3
BATCH = 16  # images
SHORTEST = 10
"""Steps over which the learning rate can rise and fall; fewer lessons end before it has fallen."""


class Taught(NamedTuple):
    """How well the network names cells of validation images, which it has not learnt from."""

    shapes: float
    """Share of the cells with a shape where kind and colour are both right."""
    labels: dict[str, float]
    """Share of right cells for each label; kind, colour and size where there is a shape."""
    images: int
    """How many training images there were."""
    epochs: int


class _Lesson(NamedTuple):
    """Images as the network sees them, and what their cells show."""

    pixels: Tensor  # (N, 3, h, w) uint8
    labels: Tensor  # (N, 6, rows, columns) int64, in the order of LABELS


def teach_backbone(
    shapes: Path, out: Path, *, size: int, epochs: int, seed: int = 0, device: str = "cpu"
) -> Taught:
    """Train the network on the training scenes below `shapes` and write its weights to `out`.

    `size` is the side in pixels that the network sees. Raises BadData where `shapes` has no
    training or no validation scenes.
    """
    spec = BackboneSpec(name=NAME, options=OPTIONS, weights="random")
    preprocessing = preprocessing_for(spec, size=size, resize="squash")
    backbone = build_backbone(spec)
    (rows, columns), dim = backbone.measure(preprocessing)
    sizes = (len(KINDS) + 1, len(COLORS) + 1, len(SIZES) + 1, len(TEXTURES), rows, columns)
    scenes = read_scenes(shapes)
    lessons, exam = (
        _read(shapes, [seen for seen in scenes if seen.split == split], split, preprocessing, rows)
        for split in ("train", "val")
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = backbone.model.requires_grad_(True).to(device)
        head = nn.Conv2d(dim, sum(sizes), 1).to(device)
        _fit(network, head, lessons, preprocessing, epochs=epochs, sizes=sizes)
    network.eval()
    right = _examine(network, head, exam, preprocessing, sizes)
    Backbone(network, spec).save(out)
    shown = exam.labels[:, 0] > 0  # cells with a shape
    shares = [
        float((hit[shown] if name in LABELS[:3] else hit).float().mean())
        for name, hit in zip(LABELS, right.unbind(dim=1), strict=True)
    ]
    both = float((right[:, 0] & right[:, 1])[shown].float().mean())
    return Taught(both, dict(zip(LABELS, shares, strict=True)), len(lessons.pixels), epochs)


def _read(
    root: Path, scenes: Sequence[ShapesImage], split: Split, preprocessing: Preprocessing, rows: int
) -> _Lesson:
    """All images of a split and their labels; some 50 kB an image."""
    if not scenes:
        raise BadData(
            f"there are no scenes of the {split} split", location=root, hint="Make Shapes again."
        )
    pixels = torch.stack(
        [resize_and_crop(read_image(root / seen.file), preprocessing) for seen in scenes]
    )
    shapes = np.stack([cell_labels(seen.scene.shapes, rows, rows) for seen in scenes])
    textures = np.array([TEXTURES.index(seen.scene.texture) for seen in scenes])
    row, column = np.mgrid[:rows, :rows]
    ground = np.broadcast_to(textures[:, None, None], (len(scenes), rows, rows))
    place = (np.broadcast_to(axis, ground.shape) for axis in (row, column))
    labels = np.concatenate([shapes, np.stack([ground, *place], axis=1)], axis=1)
    return _Lesson(pixels, torch.from_numpy(labels))


def _fit(
    network: nn.Module,
    head: nn.Module,
    lessons: _Lesson,
    preprocessing: Preprocessing,
    *,
    epochs: int,
    sizes: Sequence[int],
) -> None:
    """Adam, its learning rate rising and falling once; half of the images are mirrored."""
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused=True)
    steps = max(epochs * -(-len(lessons.pixels) // BATCH), SHORTEST)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2
    )
    network.train()
    for _ in range(epochs):
        for pixels, labels in _shuffled(lessons):
            parts = _parts(network, head, normalise(pixels, preprocessing), sizes)
            losses = (functional.cross_entropy(p, labels[:, i].to(p.device)) for i, p in parts)
            loss = sum((w * x for w, x in zip(WEIGHTS, losses, strict=True)), torch.zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _shuffled(lessons: _Lesson) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in batches, mirrored or not; a mirrored cell keeps its place's name."""
    for rows in torch.randperm(len(lessons.pixels)).split(BATCH):
        pixels, labels = lessons.pixels[rows], lessons.labels[rows]
        mirrored = labels.flip(3)
        mirrored[:, -1] = labels[:, -1]
        turn = torch.rand(len(rows))[:, None, None, None] < 0.5
        yield torch.where(turn, pixels.flip(3), pixels), torch.where(turn, mirrored, labels)


def _parts(
    network: nn.Module, head: nn.Module, images: Tensor, sizes: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Logits (B, classes, rows, columns) of every label, numbered."""
    device = next(network.parameters()).device
    shaped = images.to(device).contiguous(memory_format=torch.channels_last)
    cells: Tensor = network.forward_features(shaped)  # type: ignore[operator]
    return enumerate(head(cells).split(list(sizes), dim=1))


@torch.inference_mode()
def _examine(
    network: nn.Module,
    head: nn.Module,
    exam: _Lesson,
    preprocessing: Preprocessing,
    sizes: Sequence[int],
) -> Tensor:
    """Which cells are named rightly: (N, 6, rows, columns) bool."""
    right = []
    for pixels, labels in zip(exam.pixels.split(64), exam.labels.split(64), strict=True):
        parts = _parts(network, head, normalise(pixels, preprocessing), sizes)
        right.append(torch.stack([p.argmax(1).cpu() == labels[:, i] for i, p in parts], dim=1))
    return torch.cat(right)
