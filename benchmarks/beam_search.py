"""Decoding with Show, Attend and Tell: all images at a time against one by one.

    python -m benchmarks.beam_search

The model first learns 16 synthetic captions by heart, as random weights never end a sentence. Then
both programs decode the same images with the same weights; every word must be the same. The
published evaluation decodes each image once per human caption; here it need not.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks import inputs, timing
from saccade.data.batch import CaptionBatch, Sizes
from saccade.inference.decoding import Hypothesis, Rules, beam_search
from saccade.models.catalogue import ShowAttendTellConfig
from saccade.models.losses import caption_loss
from saccade.models.show_attend_tell import ShowAttendTell
from tests.oracles import names
from tests.oracles import show_attend_tell as published

IMAGES = 16
SPOKEN_WORDS = 400
"""Different words in the captions that are learned."""
RULES = Rules(start=inputs.START, end=inputs.END, banned=(0, inputs.START))


def main() -> None:
    """Compare captions, then times."""
    timing.one_thread()
    given = inputs.captions(IMAGES, each=1)
    ours = _trained(given)
    theirs = published.ShowAttendTell(inputs.WORDS).eval()
    for parameter, partner in names.partners(theirs, ours, names.SHOW_ATTEND_TELL):
        parameter.data.copy_(partner.data)
    grids = published.blow_up(given.grids).contiguous()
    cells = inputs.cells(given.grids)
    for beam_size in (3, 5):
        _require_equal(ours, theirs, cells, grids, beam_size)
    timings = timing.measure(
        [
            timing.Case(
                f"beam {beam_size}, {count} images {way}",
                _one_by_one(theirs, grids[:count], beam_size),
                _batches(ours, cells[:count].split(at_a_time), beam_size),
                bar,
            )
            for beam_size, count, at_a_time, way, bar in (
                (3, IMAGES, IMAGES, "at a time", 7.0),
                (5, IMAGES, IMAGES, "at a time", 9.0),
                (3, 4, 1, "one by one", 2.5),
                (5, 4, 1, "one by one", 2.5),
            )
        ],
        rounds=3,
    )
    timing.report("Show, Attend and Tell: beam search", timings)


def _trained(given: inputs.Captions) -> ShowAttendTell:
    """A model that has learned each image's caption by heart, with its end."""
    sizes = Sizes(words=inputs.WORDS, region_dim=inputs.CHANNELS, grid=(8, 8))
    model = ShowAttendTell(ShowAttendTellConfig(dropout=0.0), sizes)
    max_length = int(given.lengths.max())
    words = given.words[:, :max_length]
    words = torch.where((words > 0) & (words < inputs.START), words % SPOKEN_WORDS + 1, words)
    regions = inputs.cells(given.grids)
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    batch = CaptionBatch(regions, mask, given.image, words, given.lengths)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    for _ in range(40):
        loss = caption_loss(model(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def _one_by_one(
    model: published.ShowAttendTell, grids: Tensor, beam_size: int
) -> Callable[[], list[published.Spoken]]:
    def decode() -> list[published.Spoken]:
        return [
            published.beam_search(
                model,
                image,
                start=RULES.start,
                end=RULES.end,
                beam_size=beam_size,
                max_length=RULES.max_length,
            )
            for image in grids.split(1)
        ]

    return decode


def _batches(
    model: ShowAttendTell, batches: Sequence[Tensor], beam_size: int
) -> Callable[[], list[Hypothesis]]:
    def decode() -> list[Hypothesis]:
        return [
            hypothesis
            for regions in batches
            for hypothesis in beam_search(
                model, regions, torch.ones(regions.shape[:2], dtype=torch.bool), RULES, beam_size
            )
        ]

    return decode


def _require_equal(
    ours: ShowAttendTell,
    theirs: published.ShowAttendTell,
    cells: Tensor,
    grids: Tensor,
    beam_size: int,
) -> None:
    """Every caption the same, word for word."""
    wanted = [(s.words, s.ended) for s in _one_by_one(theirs, grids, beam_size)()]
    got = [(s.words, s.ended) for s in _batches(ours, [cells], beam_size)()]
    different = sum(a != b for a, b in zip(wanted, got, strict=True))
    ended = sum(end for _, end in wanted) / len(wanted)
    length = sum(len(words) for words, _ in wanted) / len(wanted)
    timing.require_equal(
        f"beam {beam_size}, {len(wanted)} captions of {length:.1f} words, {ended:.0%} ended",
        different,
        limit=0,
    )


if __name__ == "__main__":
    main()
