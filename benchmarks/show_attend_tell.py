"""Training Show, Attend and Tell: saccade's step against the published one.

    python -m benchmarks.show_attend_tell

Three cases of 30 captions: the decoder alone on the published batch (one image per caption,
14 x 14 cells); the decoder as saccade batches by itself (6 images of 5 captions, 8 x 8 cells
seen at 14 x 14); and the whole step, with the frozen ResNet-101 in the published loop and
features from a memory-mapped file in saccade's.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from benchmarks import inputs, timing
from saccade.config import Adam, TrainConfig
from saccade.data.batch import CaptionBatch, Sizes
from saccade.models.catalogue import ShowAttendTellConfig
from saccade.models.losses import caption_loss
from saccade.models.show_attend_tell import ShowAttendTell
from saccade.training.optim import make_optimiser
from tests.oracles import names
from tests.oracles import show_attend_tell as published

LEARNING_RATE = 4e-4
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.captions(images=6, each=5)
    grids = published.blow_up(given.grids).contiguous()  # (6, 14, 14, C)
    own = _batch(given, grids.flatten(1, 2)[given.image], torch.arange(len(given.image)))
    grouped = _batch(given, inputs.cells(given.grids), given.image)
    per_caption = grids[given.image]
    _require_equal("own batch", per_caption, given, own, (14, 14))
    _require_equal("grouped", per_caption, given, grouped, (8, 8))
    decoders = timing.measure(
        [
            timing.Case(
                "decoder step, 30 images of 14x14",
                _published_step(lambda: per_caption, given),
                _saccade_step(lambda: own, (14, 14)),
                bar=3.2,
            ),
            timing.Case(
                "decoder step, 6 images x 5 captions, 8x8",
                _published_step(lambda: per_caption, given),
                _saccade_step(lambda: grouped, (8, 8)),
                bar=4.5,
            ),
        ],
        rounds=5,
    )
    timing.report("Show, Attend and Tell: one training step", [*decoders, _whole_step(given)])


def _batch(given: inputs.Captions, regions: Tensor, image: Tensor) -> CaptionBatch:
    """Captions as saccade's data sets hand them out: cut to the longest of the batch."""
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    max_length = int(given.lengths.max())
    return CaptionBatch(regions, mask, image, given.words[:, :max_length], given.lengths)


def _whole_step(given: inputs.Captions) -> timing.Timing:
    """From 256 x 256 images in the published loop, from stored features in saccade's."""
    pixels = torch.randint(0, 256, (len(given.grids), 3, 256, 256), dtype=torch.uint8)
    encoder = _encoder(pixels)
    per_caption = pixels[given.image]

    def encode() -> Tensor:
        with torch.no_grad():
            grids: Tensor = encoder((per_caption / 255 - MEAN) / DEVIATION)
        return grids

    encoded = encode()
    grids = encoded[: len(pixels)]  # the first caption of each image
    exact = _batch(given, inputs.cells(grids), given.image)
    _require_equal("whole step", published.blow_up(encoded), given, exact, (8, 8))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "features.npy", inputs.cells(grids).half().numpy())
        stored = np.load(Path(folder) / "features.npy", mmap_mode="r")
        rows = np.arange(len(grids))

        def read() -> CaptionBatch:
            return _batch(given, torch.from_numpy(stored[rows]), given.image).to("cpu")

        case = timing.Case(
            "whole step, ResNet-101 in the loop / features stored",
            _published_step(lambda: published.blow_up(encode()), given),
            _saccade_step(read, (8, 8)),
            bar=12,
        )
        return timing.measure([case], rounds=3)[0]


def _encoder(pixels: Tensor) -> nn.Module:
    """A frozen ResNet-101 without its head. The published loop leaves its batch statistics in
    training mode, which is slower still, drifts, and could not be compared with stored features.
    """
    network = torchvision.models.resnet101(weights=None)
    encoder = nn.Sequential(*list(network.children())[:-2]).requires_grad_(False)
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # one pass sets the statistics, so that activations stay sane
    encoder((pixels / 255 - MEAN) / DEVIATION)
    return encoder.eval()


def _published_step(encoded: Callable[[], Tensor], given: inputs.Captions) -> Callable[[], Tensor]:
    """One step as the published training takes it."""
    model = published.ShowAttendTell(inputs.WORDS)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step() -> Tensor:
        loss = published.loss(model(encoded(), given.words, given.lengths))
        optimiser.zero_grad()
        loss.backward()
        published.clamp_gradients(model)
        optimiser.step()
        return loss

    return step


def _saccade_step(batch: Callable[[], CaptionBatch], grid: tuple[int, int]) -> Callable[[], float]:
    """One step as `saccade.training.train` takes it."""
    model = _saccade(grid)
    optimiser = make_optimiser(model, TrainConfig(optimiser=Adam(learning_rate=LEARNING_RATE)))

    def step() -> float:
        given = batch()
        loss = caption_loss(model(given), given)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 5.0)
        optimiser.step()
        return float(loss.detach())

    return step


def _saccade(grid: tuple[int, int], dropout: float = 0.5) -> ShowAttendTell:
    sizes = Sizes(words=inputs.WORDS, region_dim=inputs.CHANNELS, grid=grid)
    return ShowAttendTell(ShowAttendTellConfig(dropout=dropout), sizes)


def _require_equal(
    what: str,
    encoded: Tensor,
    given: inputs.Captions,
    batch: CaptionBatch,
    grid: tuple[int, int],
) -> None:
    """Same weights, no dropout: same loss, same gradient."""
    theirs = published.ShowAttendTell(inputs.WORDS, dropout=0.0)
    ours = _saccade(grid, dropout=0.0)
    names.copy_weights(theirs, ours, names.SHOW_ATTEND_TELL)
    wanted = published.loss(theirs(encoded, given.words, given.lengths))
    got = caption_loss(ours(batch), batch)
    wanted.backward()
    got.backward()
    timing.require_equal(f"{what}, loss", timing.relative_difference(wanted, got))
    apart = names.gradient_difference(theirs, ours, names.SHOW_ATTEND_TELL)
    timing.require_equal(f"{what}, gradient", apart)


if __name__ == "__main__":
    main()
