"""The demonstration's backbone: a small network trained to name what each cell of an image shows.

Nothing may be downloaded here, so one of timm's smallest networks is trained on the training scenes
of Shapes: for every cell of its grid it predicts the kind, colour and size of the shape there, the
texture of the ground, and the row and column. Then the six classifiers are dropped; the rest is
frozen and used as any other backbone (`extract --weights FILE`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from saccade.core.console import show_progress
from saccade.core.errors import BadData
from saccade.core.progress import track
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
WEIGHTS = (1.0, 1.0, 1.0, 0.3, 0.3, 0.3)
"""Of the losses of kind, colour, size, texture, row, column: questions are about shapes."""
LEARNING_RATE = 4e-3
BATCH = 16  # images
MIN_STEPS = 10
"""Steps of the learning-rate schedule, at least; shorter trainings end before its end."""


class TrainedBackbone(NamedTuple):
    """How the network was trained, and how good it is."""

    accuracy: float
    """Share of the validation images' cells with a shape where kind and colour are both right."""
    images: int
    """Training images."""
    epochs: int


class _Examples(NamedTuple):
    """Prepared images, and the labels of their cells."""

    pixels: Tensor  # (N, 3, h, w) uint8
    labels: Tensor  # (N, 6, rows, columns) int64, in the order of WEIGHTS


Predict = Callable[[Tensor], Sequence[Tensor]]
"""Prepared images (B, 3, h, w) -> logits (B, classes, rows, columns) of every label."""


def train_backbone(
    shapes: Path, out: Path, *, size: int, epochs: int, seed: int = 0, device: str = "cpu"
) -> TrainedBackbone:
    """Train the network on the training scenes below `shapes` and write its weights to `out`.

    `size` is the side of its input in pixels. Raises BadData where `shapes` has no training or no
    validation scenes.
    """
    spec = BackboneSpec(name=NAME, options=OPTIONS, weights="random")
    preprocessing = preprocessing_for(spec, size=size, resize="squash")
    backbone = build_backbone(spec)
    (rows, columns), dim = backbone.measure(preprocessing)
    sizes = [len(KINDS) + 1, len(COLORS) + 1, len(SIZES) + 1, len(TEXTURES), rows, columns]
    scenes = read_scenes(shapes)
    training, validation = (
        _read(shapes, scenes, split, preprocessing, rows) for split in ("train", "val")
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = backbone.model.requires_grad_(True).to(device)
        head = nn.Conv2d(dim, sum(sizes), 1).to(device)

        def predict(pixels: Tensor) -> Any:  # a tensor for each attribute
            images = normalise(pixels, preprocessing).to(device)
            images = images.contiguous(memory_format=torch.channels_last)
            return head(network.forward_features(images)).split(sizes, dim=1)  # type: ignore[operator]

        network.train()
        with show_progress():
            _fit(predict, [*network.parameters(), *head.parameters()], training, epochs)
    network.eval()
    right = []
    for pixels, labels in zip(*(part.split(64) for part in validation), strict=True):
        with torch.inference_mode():
            kind, colour = (logits.argmax(1).cpu() for logits in predict(pixels)[:2])
        right.append((kind == labels[:, 0]) & (colour == labels[:, 1]))
    accuracy = float(torch.cat(right)[validation.labels[:, 0] > 0].float().mean())
    Backbone(network, spec).save(out)
    return TrainedBackbone(accuracy, len(training.pixels), epochs)


def _read(
    root: Path, scenes: Sequence[ShapesImage], split: Split, preprocessing: Preprocessing, rows: int
) -> _Examples:
    """All images of a split and their labels; some 50 kB an image."""
    scenes = [image for image in scenes if image.split == split]
    if not scenes:
        message = f"there are no scenes of the {split} split"
        raise BadData(message, location=root, hint="Make Shapes again.")
    images = (read_image(root / image.file, preprocessing.window) for image in scenes)
    pixels = torch.stack([resize_and_crop(image, preprocessing) for image in images])
    shapes = np.stack([cell_labels(image.scene.shapes, rows, rows) for image in scenes])
    textures = np.array([TEXTURES.index(image.scene.texture) for image in scenes])
    row, column = np.mgrid[:rows, :rows]
    ground = np.broadcast_to(textures[:, None, None], (len(scenes), rows, rows))
    place = (np.broadcast_to(axis, ground.shape) for axis in (row, column))
    labels = np.concatenate([shapes, np.stack([ground, *place], axis=1)], axis=1)
    return _Examples(pixels, torch.from_numpy(labels))


def _fit(predict: Predict, weights: list[nn.Parameter], training: _Examples, epochs: int) -> None:
    """AdamW with the one-cycle schedule; half of the images are mirrored."""
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE, fused=True)
    steps = max(epochs * -(-len(training.pixels) // BATCH), MIN_STEPS)
    schedule = OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(1, epochs + 1):
        batches = torch.randperm(len(training.pixels)).split(BATCH)
        for rows in track(batches, f"epoch {epoch}/{epochs}"):
            pixels, labels = training.pixels[rows], training.labels[rows]
            mirrored = labels.flip(3)
            mirrored[:, -1] = labels[:, -1]  # a mirrored image has its columns in the same order
            turn = torch.rand(len(rows))[:, None, None, None] < 0.5
            pixels = torch.where(turn, pixels.flip(3), pixels)
            labels = torch.where(turn, mirrored, labels)
            parts = enumerate(predict(pixels))
            losses = (functional.cross_entropy(p, labels[:, i].to(p.device)) for i, p in parts)
            loss = sum((w * x for w, x in zip(WEIGHTS, losses, strict=True)), torch.zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
