"""Settings of features: the backbone, the preprocessing of an image, the reduction of regions.

They stand in the header of every feature store and in every run folder, so that a new image goes
through the same steps as the training images did. Neither torch nor numpy is imported here: the
recipes are built from these types, and reading a recipe must be instant.
"""

import shlex
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from saccade.core.errors import BadConfig
from saccade.core.settings import Settings
from saccade.data.options import window_range

Option = str | int | float | bool
Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["squash", "shorter_side", "inside", "crop"]
Colour = tuple[float, float, float]
Scale = Literal["row", "channel"]
"""What int8 features are multiplied by: a scale for each region, or for each of its numbers."""
PIXELS = "pixels"
"""The backbone without a network: every pixel is a region of three numbers."""
IMPORTED = "imported"
"""The library of features from another program's file: its network cannot be built."""


class BackboneSpec(Settings):
    """A frozen network that turns an image into regions."""

    name: str = Field(pattern=r"^(timm|transformers|torchvision|imported):.+|^pixels$")
    """`timm:` and a name that timm knows, such as `timm:resnet152` or `timm:resnet50.a1_in1k`; or
    `transformers:` and the hub's name of a ViT; or `torchvision:` and a detector; or `pixels`; or
    `imported:` and the kind of feature file."""
    options: dict[str, Option] = Field({})
    """Passed to `timm.create_model`, such as `pad_type` or `output_stride`; or to `ViTConfig`; or
    how a detector chooses its boxes."""
    weights: str = "hub"
    """`hub`, `random`, or the name of the file or folder that was given; `none` for pixels."""
    weights_sha256: str | None = None
    """Of the weights file; of the tensors where they are random."""

    @property
    def library(self) -> str:
        """The library that has the network, such as `timm`; or `pixels`."""
        return self.name.partition(":")[0]

    @property
    def network(self) -> str:
        """The name as the library knows it."""
        return self.name.partition(":")[2] or self.name


LIBRARIES = ("timm", "transformers", "torchvision", PIXELS)
"""What networks can be had of; the last one is none."""


def check_backbone(name: str) -> None:
    """Raise BadConfig for a name without its library, or of another one."""
    prefix, _, network = name.partition(":")
    if prefix not in {*LIBRARIES, IMPORTED} or bool(network) == (prefix == PIXELS):
        near = f"Did you mean timm:{name}? " if prefix == name else ""
        hint = (
            f"{near}Say whose it is: write timm:NAME, or transformers:NAME for a ViT with all its "
            "tokens; torchvision:NAME for a detector; or pixels, for an encoder that learns."
        )
        raise BadConfig(f"no backbone {name!r}", hint=hint)


class Reduction(Settings):
    """Steps that make a backbone's regions fewer or narrower before they are stored."""

    pool: tuple[int, int] | None = None
    """Rows and columns of a coarser grid, each cell of which is the mean of those it covers."""
    pca: int | None = Field(None, ge=1)
    """Numbers per region afterwards: the first principal components of training regions."""
    pca_sha256: str | None = None
    """Of the mean and the components."""


def wrong_scale(mean: Colour | None, std: Colour | None) -> str | None:
    """What is wrong with mean and std on a scale of 0..1, as most often with those of 0..255.

    Networks of Caffe have a std of 1/255, the smallest one that is met.
    """
    if mean is not None and not 0 <= min(mean) <= max(mean) <= 1:
        return f"mean {mean} is not on a scale of 0..1: divide one of 0..255 by 255"
    if std is not None and not 1 / 256 <= min(std) <= max(std) <= 1:
        return f"std {std} is not on a scale of 0..1: divide one of 0..255 by 255"
    return None


class Preprocessing(Settings):
    """Steps from an image of any size to the backbone's input."""

    height: int = Field(ge=8, le=4096)
    """Of the input, in pixels."""
    width: int = Field(ge=8, le=4096)
    resize: Resize
    """`squash` keeps the whole image and not its proportions. `shorter_side` keeps proportions:
    the shorter side becomes `resize_to`, and the middle is cut out. `inside` keeps both: the
    image is made as large as fits, and what is left at the right and below is filled. `crop` cuts
    the middle out of the image as it is; a smaller image is filled in the same way, and told."""
    resize_to: int | None = Field(None, ge=8, le=8192)
    """For `shorter_side`, at least height and width; for `inside` the shorter side at most."""
    mean: Colour
    """Red, green, blue on a scale of 0..1; subtracted."""
    std: Colour
    """On the same scale; divided by."""
    interpolation: Interpolation
    """Always antialiased, so that a smaller image is not a noisier one."""
    window: str = "auto"
    """How images of more than 8 bits become 8, see `data.levels`; the data folder's."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.resize in ("squash", "crop") and self.resize_to is not None:
            raise ValueError("resize_to goes with resize=shorter_side or inside")
        side = max(self.height, self.width)
        if self.resize == "shorter_side" and (self.resize_to or 0) < side:
            raise ValueError(f"resize=shorter_side needs resize_to of at least {side}")
        window_range(self.window)
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self


class Augmentation(Settings):
    """Random changes of images: how their stored views, but for the plain first one, are made."""

    crop: float = Field(0.6, gt=0, le=1)
    """Least share of an image's area that a view keeps; 1 keeps all of it."""
    flip: bool = True
    """Every second view is mirrored: 1, 3, ..., if views are counted from 0."""
    colour: float = Field(0.2, ge=0, lt=1)
    """Brightness, contrast and saturation change by this share at most."""
    rotation: float = Field(0.0, ge=0, le=180)
    """Degrees at most, in either direction; corners that become free have the mean colour."""
    seed: int = Field(0, ge=0, lt=2**63)


class ExtractSettings(Settings):
    """Settings of an extraction."""

    backbone: str
    """`timm:NAME`, `transformers:NAME`, or `torchvision:NAME` of a detector; or `pixels`."""
    weights: str | Path = "hub"
    """`hub`, `random`, or a file; for `transformers:NAME` also a folder."""
    options: dict[str, Option] = Field({})
    """Passed to `timm.create_model`, or to `ViTConfig`; or how a detector chooses boxes."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Of the store; by default network and size."""
    size: int | None = Field(None, ge=8, le=4096)
    """Side of the backbone's square input, in pixels. This and the next five are the network's own
    by default."""
    resize: Resize | None = None
    resize_to: int | None = None
    mean: Colour | None = None
    std: Colour | None = None
    interpolation: Interpolation | None = None
    views: int = Field(1, ge=1, le=1000)
    """Of each image, for training: the plain one, and others that are changed at random."""
    augment: Augmentation = Augmentation()
    """How the others are changed."""
    shard: str | None = Field(None, pattern=r"^[1-9]\d{0,5}/[1-9]\d{0,5}$")
    """`3/16`: only the third of sixteen parts of the store, for `saccade store merge`."""
    dtype: Literal["float16", "float32"] | None = None
    """By default float16; pixels are uint8."""
    batch_size: int | None = Field(None, ge=1)
    """Images that the network encodes together; by default 32 on a GPU, and 8 on a CPU, where more
    take memory and no less time."""
    workers: int = Field(0, ge=0)
    """Processes that decode images; 0 decodes in this one."""
    device: str = "auto"
    """`auto` is the GPU where there is one."""
    image_root: Path | None = None
    """Where the images are now, if they have moved."""
    progress: bool | None = None
    """Show a bar; by default on a terminal, and in a notebook with ipywidgets."""

    @field_validator("shard")
    @classmethod
    def _is_a_shard(cls, shard: str | None) -> str | None:
        if shard and int(shard.partition("/")[0]) > int(shard.partition("/")[2]):
            raise ValueError(f"there is no part {shard}: they are numbered from 1")
        return shard

    @model_validator(mode="after")
    def _scale_of_colours(self) -> Self:
        if problem := wrong_scale(self.mean, self.std):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _pixels_are_bytes(self) -> Self:
        if self.backbone == PIXELS and self.dtype is not None:
            raise ValueError("pixels are always uint8: leave dtype out")
        if self.views == 1 and self.augment != Augmentation():
            raise ValueError("a single view is the plain image: set views to 2 or more")
        return self

    def command(self, data: Path) -> str:
        """The command that starts, or goes on with, the same extraction."""
        words = ["saccade", "extract", str(data)]
        for field, value in self.model_dump(exclude_defaults=True).items():
            if field in ("options", "augment"):
                option = "--" + field.removesuffix("s")
                words += [w for k, v in value.items() for w in (option, f"{k}={v}")]
            elif field in ("mean", "std"):
                words += [f"--{field}", ",".join(f"{share:g}" for share in value)]
            elif field != "progress":
                words += [f"--{field.replace('_', '-')}", str(value)]
        return shlex.join(words)
