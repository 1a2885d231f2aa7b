"""An image encoder in front of any model, so that both are trained together.

A pixel is a region of 3 numbers, so a store of pixels is a store like any other (`saccade extract
DATA --backbone pixels`). `EncodedModel` turns pixels into the regions of its encoder, once per
image, and gives these to any model, which needs no change for it.

As public codes fine-tune (sgrvinod's tutorial; Lu et al. 2017): the lower stages of the encoder
stay as they are and keep no activations, the upper ones are trained at a rate of their own, perhaps
only after some epochs. Differs: batch norm keeps its statistics unless `batch_norm=trained`; those
codes leave it in training mode, even in the stages that are not trained. Drop-path stays off.

Shapes: I images, h x w pixels each, R regions, D numbers per region.
"""

from collections.abc import Set
from dataclasses import replace
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from saccade.data.batch import Batch, Captioner, CaptionState, DecoderOutput
from saccade.models.catalogue import EncoderConfig

AnyBatch = TypeVar("AnyBatch", bound=Batch)


class EncoderSpec(NamedTuple):
    """Images that the encoder is given, and regions that it returns."""

    size: tuple[int, int]
    """Height and width of an image, in pixels."""
    mean: tuple[float, float, float]
    """Red, green, blue on a scale of 0..1; subtracted."""
    std: tuple[float, float, float]
    """On the same scale; divided by."""
    grid: tuple[int, int] | None
    """Rows and columns of the regions; none where they are not a grid alone."""
    boxes: np.ndarray
    """(R, 4) where the regions lie: x0 y0 x1 y1 as shares of the image."""


class EncodedModel(nn.Module):
    """An image encoder and the model behind it.

    `encoder` maps normalised images `(I, 3, h, w)` to regions `(I, R, D)`; `trainable` names those
    of its weights that are trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        model: nn.Module,
        config: EncoderConfig,
        spec: EncoderSpec,
        trainable: Set[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.model = model
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.encoder = encoder.to(memory_format=layout)
        self.config, self.spec, self.trainable = config, spec, trainable
        for name, colour in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0: it decides whether the encoder is trained."""
        self.is_encoder_trained = epoch >= self.config.first_epoch
        for name, weight in self.encoder.named_parameters():
            weight.requires_grad_(self.is_encoder_trained and name in self.trainable)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model; of the encoder only batch norm is ever in training mode."""
        super().train(mode)
        self.encoder.eval()
        if mode and self.is_encoder_trained and self.config.batch_norm == "trained":
            for layer in self.encoder.modules():
                if isinstance(layer, _BatchNorm):
                    layer.train()
        return self

    def images(self, pixels: Tensor) -> Tensor:
        """From pixels `(I, h * w, 3)`, 0..255, to normalised images `(I, 3, h, w)`."""
        images = pixels.reshape(-1, *self.spec.size, 3).permute(0, 3, 1, 2)  # channels are last
        images = (images.float() / 255 - self.mean) / self.std
        return images if self.config.channels_last else images.contiguous()

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """From pixels `(I, h * w, 3)` to regions `(I, R, D)` and their mask `(I, R)`."""
        regions: Tensor = self.encoder(self.images(pixels)).float()
        return regions, torch.ones_like(regions[:, :, 0], dtype=torch.bool)

    def encode_batch(self, batch: AnyBatch) -> AnyBatch:
        """The same batch with the encoder's regions in the place of pixels."""
        regions, mask = self.encode(batch.regions)
        return replace(batch, regions=regions, region_mask=mask)

    def forward(self, batch: Any) -> Any:
        """The model's output for a batch of pixels."""
        return self.model(self.encode_batch(batch))

    def init_state(self, regions: Tensor, region_mask: Tensor) -> CaptionState:
        """Encode pixels `(I, h * w, 3)` before the first word."""
        del region_mask  # of pixels; an image has all of them
        return cast(Captioner, self.model).init_state(*self.encode(regions))

    def step(self, words: Tensor, state: CaptionState) -> DecoderOutput:
        """Read one word per beam, `words (I, K)`, and score the next ones."""
        return cast(Captioner, self.model).step(words, state)


def without_encoder(model: nn.Module) -> nn.Module:
    """The model behind its encoder, or the model itself."""
    return model.model if isinstance(model, EncodedModel) else model
