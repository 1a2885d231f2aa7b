"""Pixels in front of any model: the network that sees learns with the one that speaks.

A pixel is a region of 3 numbers, so a store of pixels is a store like any other (`saccade extract
DATA --backbone pixels`). `Pixels` turns them into the regions of its encoder, once per image, and
hands these to any model, which knows nothing of it.

As public codes fine-tune (sgrvinod's tutorial; Lu et al. 2017): the lower stages of the encoder
stay as they are and keep no activations, the upper ones learn at a rate of their own, perhaps only
after some epochs. Differs: batch norm keeps its statistics unless `batch_norm=trained`; those codes
leave it in training mode, even in the stages that do not learn. Drop-path stays off.

Shapes: I images, h x w pixels each, R regions, D numbers per region.
"""

from collections.abc import Set
from dataclasses import replace
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saccade.data.batch import Batch, Captioner, CaptionState, Said
from saccade.models.catalogue import EncoderConfig

Some = TypeVar("Some", bound=Batch)


class Sight(NamedTuple):
    """What the encoder is shown, and what it makes of that."""

    size: tuple[int, int]
    """Height and width of an image, in pixels."""
    mean: tuple[float, float, float]
    """Red, green, blue on a scale of 0..1; subtracted."""
    std: tuple[float, float, float]
    """On the same scale; divided by."""
    grid: tuple[int, int] | None
    """Rows and columns of the regions; none where they are not a grid alone."""
    boxes: np.ndarray
    """(R, 4) where the regions lie: x0 y0 x1 y1 as shares of what the encoder is shown."""


class Pixels(nn.Module):
    """Any model with an encoder of its own in front of it."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        model: nn.Module,
        config: EncoderConfig,
        sight: Sight,
        learns: Set[str] = frozenset(),
    ) -> None:
        """Put an encoder, from normalised images `(I, 3, h, w)` to regions `(I, R, D)`, in front
        of a model. `learns` names the encoder's weights that learn.
        """
        super().__init__()
        self.model = model
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.encoder = encoder.to(memory_format=layout)
        self.config, self.sight, self.learns = config, sight, learns
        for name, colour in (("mean", sight.mean), ("std", sight.std)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0: it decides whether the encoder learns."""
        self.awake = epoch >= self.config.first_epoch
        for name, weight in self.encoder.named_parameters():
            weight.requires_grad_(self.awake and name in self.learns)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model; of the encoder only batch norm ever trains."""
        super().train(mode)
        self.encoder.eval()
        if mode and self.awake and self.config.batch_norm == "trained":
            for layer in self.encoder.modules():
                if isinstance(layer, _BatchNorm):
                    layer.train()
        return self

    def images(self, pixels: Tensor) -> Tensor:
        """From pixels `(I, h * w, 3)`, 0..255, to normalised images `(I, 3, h, w)`."""
        images = pixels.reshape(-1, *self.sight.size, 3).permute(0, 3, 1, 2)  # channels are last
        images = (images.float() / 255 - self.mean) / self.std
        return images if self.config.channels_last else images.contiguous()

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """From pixels `(I, h * w, 3)` to regions `(I, R, D)` and their mask `(I, R)`."""
        regions: Tensor = self.encoder(self.images(pixels)).float()
        return regions, torch.ones_like(regions[:, :, 0], dtype=torch.bool)

    def seen(self, batch: Some) -> Some:
        """The same batch with the encoder's regions in the place of pixels."""
        regions, mask = self.encode(batch.regions)
        return replace(batch, regions=regions, region_mask=mask)

    def forward(self, batch: Any) -> Any:
        """What the model makes of a batch of pixels."""
        return self.model(self.seen(batch))

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        """Look at pixels `(I, h * w, 3)` before the first word."""
        del region_mask  # of pixels; an image has all of them
        return cast(Captioner, self.model).init_state(*self.encode(regions))

    def step(self, words: Tensor, state: CaptionState) -> Said:
        """Hear `words (I, K)` and say what could follow."""
        return cast(Captioner, self.model).step(words, state)


def behind(model: nn.Module) -> nn.Module:
    """The model behind its encoder, or the model itself."""
    return model.model if isinstance(model, Pixels) else model
