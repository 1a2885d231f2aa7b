"""Settings of features: the backbone, the preprocessing of an image, the reduction of regions.

They stand in the header of every feature store and in every run folder, so that a new image goes
through the same steps as the training images did. Neither torch nor numpy is imported here: the
recipes are built from these types, and reading a recipe must be instant.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from saccade.core.settings import Settings

Option = str | int | float | bool
Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["squash", "shorter_side", "inside"]
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


class Reduction(Settings):
    """Steps that make a backbone's regions fewer or narrower before they are stored."""

    pool: tuple[int, int] | None = None
    """Rows and columns of a coarser grid, each cell of which is the mean of those it covers."""
    pca: int | None = Field(None, ge=1)
    """Numbers per region afterwards: the first principal components of training regions."""
    pca_sha256: str | None = None
    """Of the mean and the components."""


class Preprocessing(Settings):
    """Steps from an image of any size to the backbone's input."""

    height: int = Field(ge=8, le=4096)
    """Of the input, in pixels."""
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
        side = max(self.height, self.width)
        if self.resize == "shorter_side" and (self.resize_to or 0) < side:
            raise ValueError(f"resize=shorter_side needs resize_to of at least {side}")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self
