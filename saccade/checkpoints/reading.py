"""What a layout makes of an opened checkpoint, and the steps that all layouts share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from torch import nn

from saccade.checkpoints.renaming import Source, Tensors
from saccade.checkpoints.torch_files import Saved, tensors_of
from saccade.core.errors import BadCheckpoint
from saccade.data.batch import Sizes
from saccade.features.preprocessing import Colour, Interpolation
from saccade.models.catalogue import build_model
from saccade.text.vocabulary import Words

WRAPPERS = ("weights", "state_dict", "model_state_dict", "model_state", "model", "net")
"""Under one of these a checkpoint may keep its tensors beside other things."""


class Bundle(NamedTuple):
    """A checkpoint, opened, and the files given with it."""

    path: Path
    value: Any
    words: Path | None
    answers: Path | None

    @property
    def part(self) -> dict[str, Any]:
        """What stands beside the tensors, by name; nothing where the file is a state dict."""
        return self.value if isinstance(self.value, dict) else {}

    def tensors(self, names: tuple[str, ...] = WRAPPERS) -> dict[str, Saved]:
        """The tensors by name, be they all that the file holds or one part of it.

        Raises BadCheckpoint where there are none, saying what there is.
        """
        found = tensors_of(self.value)
        for name in names:
            found = found or tensors_of(self.part.get(name))
        if not found:
            held = ", ".join(map(str, list(self.part)[:8])) or type(self.value).__name__
            raise BadCheckpoint(
                f"it holds no tensors by name, but: {held}",
                where=self.path,
                cure="Give the file with the model's weights.",
            )
        return found


class Looking(NamedTuple):
    """What pictures went through in the published program, as near as there is here."""

    backbone: str
    size: int
    resize: str = "squash"
    resize_to: int | None = None
    interpolation: Interpolation = "bilinear"
    mean: Colour | None = None
    """None for what the network was trained with."""
    std: Colour | None = None
    options: Mapping[str, Any] = MappingProxyType({})


class Reading(NamedTuple):
    """A checkpoint understood: all but the numbers themselves."""

    layout: str
    """As errors name it."""
    recipe: str
    """The recipe whose settings it takes."""
    model: dict[str, Any]
    """Fields of the model that the file decides."""
    tensors: Tensors
    sources: Callable[[nn.Module], dict[str, Source]]
    region_dim: Callable[[Any], int]
    """Numbers per region, from the model's config."""
    words: Words
    looking: Looking
    backbone: Mapping[str, Saved] = MappingProxyType({})
    """The encoder's tensors by their names in saccade's backbone; empty where there are none."""
    recipe_fields: Mapping[str, Any] = MappingProxyType({})
    """Other fields of the recipe, such as "decode.beams"."""
    notes: tuple[str, ...] = ()
    """What a user should know: what was not brought along."""


def skeleton(config: BaseModel, sizes: Sizes | None = None) -> nn.Module:
    """A model without numbers, for its names and shapes."""
    with torch.device("meta"):
        return build_model(config, sizes or Sizes(9, 9, 9, (14, 14), 196))


def matrix(tensors: Tensors, name: str) -> tuple[int, int]:
    """Rows and columns of a tensor, or of a 1 x 1 convolution. Raises BadCheckpoint."""
    shape = tensors[name].shape
    if len(shape) < 2 or any(n != 1 for n in shape[2:]):
        raise BadCheckpoint(
            f"{name} has the shape {tuple(shape)}, which is no matrix",
            cure="The file is of another program.",
        )
    return shape[0], shape[1]


CAFFE = (
    "pictures: it was trained on the features of Caffe's {network}, which are not those of "
    "{backbone}; with these it answers and describes worse than published"
)
