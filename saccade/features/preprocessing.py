"""What features are made with: which backbone, and what is done to an image before it.

Both stand in the header of every feature store and in every run folder, so that an image asked
about tomorrow goes through the same steps as the training images did. No torchvision, no timm
here: training reads these and needs neither.
"""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor, tensor
from torch.nn import functional

from saccade.core.settings import Settings

Option = str | int | float | bool
Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["squash", "shorter_side", "inside"]
Colour = tuple[float, float, float]
PIXELS = "pixels"
"""The backbone that is none."""


class BackboneSpec(Settings):
    """Which frozen network turns an image into regions."""

    name: str = Field(pattern=r"^(timm|transformers|torchvision|imported):.+|^pixels$")
    """`timm:` and a name that timm knows, such as `timm:resnet152` or `timm:resnet50.a1_in1k`; or
    `transformers:` and the hub's name of a ViT; or `torchvision:` and a detector; or `pixels`,
    which is no network; or `imported:` and whose feature file it was."""
    options: dict[str, Option] = Field({})
    """Passed to `timm.create_model`, such as `pad_type` or `output_stride`; or to `ViTConfig`; or
    how a detector chooses its boxes."""
    weights: str = "hub"
    """`hub`, `random`, or the name of the file or folder that was given; `none` of pixels."""
    weights_sha256: str | None = None
    """Of the weights file; of the tensors where they are random."""

    @property
    def library(self) -> str:
        """Whose network it is, such as `timm`; or `pixels`."""
        return self.name.partition(":")[0]

    @property
    def network(self) -> str:
        """The name as the library knows it."""
        return self.name.partition(":")[2] or self.name


class Reduction(Settings):
    """What is done to a backbone's regions to make them fewer or narrower before they are kept."""

    pool: tuple[int, int] | None = None
    """Rows and columns of a coarser grid, each cell of which is the mean of those it covers."""
    pca: int | None = Field(None, ge=1)
    """Numbers per region afterwards: the first principal components of training regions."""
    pca_sha256: str | None = None
    """Of the mean and the components."""


class _Placed(NamedTuple):
    """How large an image becomes and where the crop lies in it, in pixels."""

    width: np.ndarray
    height: np.ndarray
    left: np.ndarray
    top: np.ndarray


class Preprocessing(Settings):
    """From an image of any size to the numbers that a backbone sees."""

    height: int = Field(ge=8, le=4096)
    """Pixels that the backbone sees."""
    width: int = Field(ge=8, le=4096)
    resize: Resize
    """`squash` keeps the whole image and not its proportions. `shorter_side` keeps proportions:
    the shorter side becomes `resize_to`, and the middle is cut out. `inside` keeps both: the
    image is made as large as fits, and what is left at the right and below is filled."""
    resize_to: int | None = Field(None, ge=8, le=8192)
    """For `shorter_side`, at least height and width; for `inside` the shorter side at most."""
    mean: Colour
    """Red, green, blue on a scale of 0..1; subtracted."""
    std: Colour
    """On the same scale; divided by."""
    interpolation: Interpolation
    """Always antialiased, so that a smaller image is not a noisier one."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.resize == "squash" and self.resize_to is not None:
            raise ValueError("resize_to goes with resize=shorter_side or inside")
        if self.resize == "shorter_side" and (self.resize_to or 0) < max(self.height, self.width):
            raise ValueError(
                f"resize=shorter_side needs resize_to of at least {max(self.height, self.width)}"
            )
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self

    def apply(self, image: Tensor) -> Tensor:
        """From an image `(3, H, W)` uint8 to what a backbone takes, `(3, height, width)` float."""
        return self.normalise(self.pixels(image))

    def pixels(self, image: Tensor) -> Tensor:
        """Resize and crop `(3, H, W)` uint8 to `(3, height, width)` uint8: a quarter of the bytes
        of what `normalise` makes of it, so do that on the device.
        """
        placed = self._place(image.shape[2], image.shape[1])
        resized = functional.interpolate(
            image[None],
            size=(int(placed.height), int(placed.width)),
            mode=self.interpolation,
            antialias=True,
        )[0]
        if self.resize == "inside":
            filled = (tensor(self.mean) * 255).round().to(image.dtype)[:, None, None]
            whole = filled.expand(3, self.height, self.width).clone()
            whole[:, : resized.shape[1], : resized.shape[2]] = resized
            return whole
        top, left = int(placed.top), int(placed.left)
        return resized[:, top : top + self.height, left : left + self.width].contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """From 0..255 to the backbone's scale; `(..., 3, height, width)` uint8 to float32."""
        mean = tensor(self.mean, device=pixels.device)[:, None, None]
        std = tensor(self.std, device=pixels.device)[:, None, None]
        return (pixels.float() / 255 - mean) / std

    def box_in_image(
        self, boxes: np.ndarray, width: int | np.ndarray, height: int | np.ndarray
    ) -> np.ndarray:
        """Say where boxes of the crop lie in the original image.

        `boxes (R, 4)` are x0 y0 x1 y1 as shares of the crop, the result is shares of the image:
        `(R, 4)` for one image, `(n, R, 4)` for arrays `width (n,)` and `height (n,)`. Float32.
        """
        placed = self._place(np.asarray(width), np.asarray(height))
        x = [(placed.left[..., None] + boxes[:, i] * self.width) for i in (0, 2)]
        y = [(placed.top[..., None] + boxes[:, i] * self.height) for i in (1, 3)]
        x = [edge / placed.width[..., None] for edge in x]
        y = [edge / placed.height[..., None] for edge in y]
        return np.stack([x[0], y[0], x[1], y[1]], axis=-1).astype(np.float32)

    def size_inside(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels of what an image of that size becomes before the crop."""
        placed = self._place(width, height)
        return int(placed.width), int(placed.height)

    def _place(self, width: int | np.ndarray, height: int | np.ndarray) -> _Placed:
        """Sizes as torchvision's Resize and CenterCrop round them, which the weights were
        measured with: the longer side downwards, half a pixel to the even side.
        """
        width, height = np.asarray(width), np.asarray(height)
        if self.resize == "squash":
            zero = np.zeros_like(width)
            return _Placed(zero + self.width, zero + self.height, zero, zero)
        shorter = np.minimum(width, height)
        if self.resize == "inside":
            scale = np.minimum(self.width / width, self.height / height)
            if self.resize_to is not None:
                scale = np.minimum(scale, self.resize_to / shorter)
            wide = np.clip((width * scale).astype(np.int64), 1, self.width)
            high = np.clip((height * scale).astype(np.int64), 1, self.height)
            return _Placed(wide, high, np.zeros_like(wide), np.zeros_like(high))
        side = self.resize_to or 0
        wide = (side * width / shorter).astype(np.int64)
        high = (side * height / shorter).astype(np.int64)
        left = np.rint((wide - self.width) / 2).astype(np.int64)
        top = np.rint((high - self.height) / 2).astype(np.int64)
        return _Placed(wide, high, left, top)


def grid_boxes(rows: int, columns: int) -> np.ndarray:
    """Boxes of a grid's cells, row by row: `(rows * columns, 4)` float32, x0 y0 x1 y1 in 0..1."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    edges = (x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
    return np.stack(edges, axis=1).astype(np.float32)


# What a backbone hands out, whichever kind it is.


class Seen(NamedTuple):
    """What a backbone makes of a batch of images."""

    regions: Tensor  # (B, R, D); real ones first
    counts: np.ndarray  # (B,) how many of them are real
    boxes: np.ndarray  # (B, R, 4) float32: x0 y0 x1 y1 as shares of the original image
    scores: np.ndarray | None = None  # (B, R) float32, of a detector
    grid: tuple[int, int] | None = None


class Layout(NamedTuple):
    """What a backbone's regions will be."""

    grid: tuple[int, int] | None
    regions: int
    """Of an image, at most."""
    dim: int
