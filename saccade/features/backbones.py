"""Frozen backbones that turn images into regions: networks of timm, `transformers`, torchvision.

A region is one cell of the network's last grid: row r of the output is cell (r // W, r % W).
Networks of `transformers` have one more in front of these, for the image as a whole; a region of
a detector is a box. The backbone `pixels` is no network: its regions are the pixels. A library is
imported when one of its networks is built.
"""

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from saccade.core.errors import BadConfig, MissingWeights
from saccade.core.files import sha256_of, write_bytes
from saccade.core.formatting import first_line
from saccade.core.settings import first_problem
from saccade.features.networks import EncodedImages, Layout, Library, digest_of
from saccade.features.preprocessing import boxes_in_image, grid_boxes, normalise
from saccade.features.settings import (
    IMPORTED,
    PIXELS,
    BackboneSpec,
    Option,
    Preprocessing,
    check_backbone,
)

LIBRARIES: Mapping[str, str] = {
    "timm": "saccade.features.timm_backbones",
    "transformers": "saccade.features.transformers_backbones",
    "torchvision": "saccade.features.detectors",
    PIXELS: "saccade.features.pixels_backbone",
}
"""The module of each library of networks."""
BOTTOM_UP = "the Caffe Faster R-CNN of bottom-up attention (ResNet-101, Visual Genome)"
MAKERS = {
    "bottom-up": BOTTOM_UP,
    "hengyuan-hu": BOTTOM_UP,
    "openvqa": BOTTOM_UP,
    "pytorch-vqa": "ResNet-152 with weights converted from Caffe",
    "self-critical": "ResNet-101 of Caffe, or bottom-up attention's detector",
}
"""The network that made the features of each kind of file."""


def _library(spec: BackboneSpec) -> Library:
    if spec.library == IMPORTED:
        maker = MAKERS.get(spec.network, "another program")
        raise MissingWeights(
            f"these features came from a file of {spec.network}, made by {maker}, which is no part "
            "of saccade, so a new image cannot be encoded",
            hint="Ask about images of the data folder (saccade evaluate), or train on features "
            "extracted here, such as --backbone torchvision:fasterrcnn_resnet50_fpn_v2.",
        )
    return cast(Library, import_module(LIBRARIES[spec.library]))


class Backbone(nn.Module):
    """A frozen network, always in eval mode."""

    def __init__(self, model: nn.Module, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.model = model.eval().requires_grad_(False)
        self.finds_boxes = bool(getattr(model, "finds_boxes", False))
        """True for a detector, which has no grid."""
        self._first_tokens = int(getattr(model, "num_prefix_tokens", 0) or 0)
        self.kept_tokens = int(getattr(model, "kept_tokens", 0))
        """Regions in front of the grid's, each of which belongs to the whole image."""
        self._channels_last_out = getattr(model, "output_fmt", None) == "NHWC"
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        convolutions = sum(p.numel() for layer in layers for p in layer.parameters(recurse=False))
        if 2 * convolutions > sum(p.numel() for p in model.parameters()):
            # Most weights are those of convolutions: 1.2 to 1.6 times as fast on a CPU, equal to
            # 1e-5.
            self.model.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: statistics of a batch would make features depend on neighbours."""
        return super().train(False)

    @torch.inference_mode()
    def encode(self, pixels: Tensor, settings: Preprocessing, sizes: np.ndarray) -> EncodedImages:
        """Regions of resized images `(B, 3, h, w)` uint8.

        `sizes (B, 2)` are width and height of the originals. Raises BadConfig as `encode_grid`.
        """
        images = pixels if self.spec.name == PIXELS else normalise(pixels, settings)
        if self.finds_boxes:
            detector: Any = self.model
            return cast(EncodedImages, detector.encode(images, settings, sizes))
        regions, grid = self.encode_grid(images)
        boxes = boxes_in_image(self.boxes(grid), settings, *sizes.T)
        counts = np.full(len(regions), regions.shape[1])
        return EncodedImages(regions, counts, boxes, grid=None if self.kept_tokens else grid)

    def layout(self, preprocessing: Preprocessing) -> Layout:
        """Grid, if any, regions at most and numbers per region, of images of that size."""
        if self.finds_boxes:
            detector: Any = self.model
            return cast(Layout, detector.layout())
        grid, dim = self.measure(preprocessing)
        return Layout(None if self.kept_tokens else grid, len(self.boxes(grid)), dim)

    def forward(self, images: Tensor) -> Tensor:
        """From preprocessed images `(B, 3, h, w)` to regions `(B, R, D)`.

        A gradient follows only where weights were made to learn, as `models/encoder.py` does.
        """
        learns = any(weight.requires_grad for weight in self.parameters())
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            return self.encode_grid(images)[0]

    def encode_grid(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Regions `(B, R, D)` of images `(B, 3, h, w)`, and rows and columns of their grid.

        `kept_tokens` other regions stand in front of the grid's; see `boxes`. Raises BadConfig
        for images of a size that the network does not take, and for a network whose output is no
        grid.
        """
        if self.finds_boxes:
            message = f"{self.spec.name} finds boxes, which are no grid and cannot learn here"
            hint = "Extract features with it: saccade extract DATA --backbone ..."
            raise BadConfig(message, hint=hint)
        height, width = images.shape[-2:]
        try:
            features = self.model.forward_features(images)  # type: ignore[operator]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError, ValueError) as error:
            size = f"{height} x {width} pixels"
            message = f"{self.spec.name} cannot encode {size} ({first_line(error)})"
            hint = "Choose another --size, or --option img_size=... where the network has it."
            raise BadConfig(message, hint=hint) from None
        if isinstance(features, Tensor) and features.ndim == 4:
            if not self._channels_last_out:
                features = features.permute(0, 2, 3, 1)
            return features.flatten(1, 2), (features.shape[1], features.shape[2])
        if isinstance(features, Tensor) and features.ndim == 3:
            regions = features[:, self._first_tokens :]
            cells = regions.shape[1] - self.kept_tokens
            rows = max(round(math.sqrt(max(cells, 0) * (height / width))), 1)
            if cells > 0 and cells % rows == 0:
                return regions, (rows, cells // rows)
        hint = "Choose a network that keeps one: timm:resnet50 or timm:vit_base_patch16_224."
        raise BadConfig(f"the output of {self.spec.name} is no grid of regions", hint=hint)

    @torch.no_grad()
    def measure(self, preprocessing: Preprocessing) -> tuple[tuple[int, int], int]:
        """Rows and columns of the grid, and numbers per region, for images of that size."""
        device = next((weight.device for weight in self.parameters()), None)
        blank = torch.zeros(1, 3, preprocessing.height, preprocessing.width, device=device)
        regions, grid = self.encode_grid(blank)
        return grid, regions.shape[2]

    def boxes(self, grid: tuple[int, int]) -> np.ndarray:
        """Boxes of the regions in the network's input: `(R, 4)` x0 y0 x1 y1, from 0 to 1."""
        whole = np.tile(np.array([0, 0, 1, 1], np.float32), (self.kept_tokens, 1))
        return np.concatenate([whole, grid_boxes(*grid)])

    @property
    def nbytes(self) -> int:
        """Bytes of the weights that `save` writes."""
        return sum(value.nbytes for value in self.model.state_dict().values())

    def save(self, path: Path) -> None:
        """Write the weights as one safetensors file that `build_backbone` reads."""
        state = self.model.state_dict()
        # Cloned: two names for one tensor would not be written.
        whole = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
        write_bytes(path, save(whole))  # its own save_file would make it unreadable for others


def choose_backbone(
    name: str,
    weights: str | Path = "hub",
    options: Mapping[str, Option] | None = None,
    *,
    size: int | None = None,
) -> Backbone:
    """A backbone by name; its `spec` says exactly which weights it has.

    `weights` is "hub", "random" or a file, as in `find_weights`. `size` is the side of the
    images in pixels, for networks that have to be built for it. Raises BadConfig for a name or
    an option that the library does not have, and for weights of another network.
    """
    check_backbone(name)
    network = BackboneSpec(name=name).network
    library, given = _library(BackboneSpec(name=name)), str(weights)
    chosen, file = library.prepare(network, given, options or {}, size)
    kind = "none" if name == PIXELS else given if given in ("hub", "random") else Path(given).name
    spec = BackboneSpec(name=name, options=chosen, weights=kind)
    model = library.create_network(spec, file)
    digest = sha256_of(file) if file else digest_of(model)
    if file is not None and spec.weights == "hub" and file.stem == spec.network:
        spec = spec.model_copy(update={"weights": file.name})  # it came from SACCADE_WEIGHTS
    return Backbone(model, spec.model_copy(update={"weights_sha256": digest}))


def build_backbone(spec: BackboneSpec, weights_file: Path | None = None) -> Backbone:
    """The very backbone that a store or a run was made with.

    `weights_file` is what `Backbone.save` wrote; without it the weights are searched for as they
    were the first time, and must be the same ones. Raises MissingWeights, BadConfig.
    """
    library = _library(spec)
    file = weights_file or library.prepare(spec.network, spec.weights, spec.options, None)[1]
    model = library.create_network(spec, file)
    if weights_file is None and spec.weights_sha256 is not None:
        found = sha256_of(file) if file else digest_of(model)
        if found != spec.weights_sha256:
            sums = f"(SHA-256 {found[:12]}..., wanted {spec.weights_sha256[:12]}...)"
            message = f"these weights of {spec.name} are not those that the features were made with"
            hint = "Keep the file backbone.safetensors of the feature store beside the run."
            raise MissingWeights(f"{message} {sums}", location=file, hint=hint)
    return Backbone(model, spec)


def preprocessing_for(spec: BackboneSpec, **wishes: Any) -> Preprocessing:
    """The preprocessing that a network was trained with, with some fields set otherwise.

    `size=N` sets height and width; the margin that is cropped away keeps its share. Raises
    BadConfig for settings that contradict each other.
    """
    known = _library(spec).input_config(spec)
    size = wishes.pop("size", None)
    wished = {name: value for name, value in wishes.items() if value is not None}
    values: dict[str, Any] = {
        "height": size or known.height,
        "width": size or known.width,
        "resize": "inside" if known.inside else "shorter_side" if known.crop else "squash",
        "mean": known.mean,
        "std": known.std,
        "interpolation": known.interpolation,
        **wished,
    }
    side = max(values["height"], values["width"])
    if values["resize"] == "shorter_side":
        values.setdefault("resize_to", math.floor(side / (known.crop or 1)))
    if values["resize"] == "inside" and known.inside:
        values.setdefault("resize_to", max(round(side * known.inside), 8))
    try:
        return Preprocessing(**values)
    except ValidationError as error:
        hint = "Change --size, --resize, --resize-to, --mean, --std or --interpolation."
        raise BadConfig(first_problem(error, "preprocessing"), hint=hint) from None
