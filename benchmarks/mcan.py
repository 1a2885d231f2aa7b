"""Training MCAN-small: saccade, trimmed to the batch, against openvqa's program, padded.

    python -m benchmarks.mcan

16 questions, each about an image of its own with 10 to 100 detected objects, 36 on average. The
published program fills every image up to 100 regions and every question up to 14 words.
"""

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import inputs, steps, timing
from saccade.data.batch import Sizes, VqaBatch
from saccade.models.catalogue import McanConfig
from saccade.models.mcan import Mcan
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import loss_for
from tests.oracles import mcan as published
from tests.oracles import names

RECIPE = RECIPES["mcan"]
WORDS, ANSWERS, MOST, LONGEST = 20_573, 3129, 100, 14


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.questions(
        images=16, each=1, side=10, vocabulary=WORDS, listed=ANSWERS, max_length=LONGEST
    )
    counts = inputs.object_counts(images=16)
    mask = torch.arange(MOST) < counts[:, None]
    padded = inputs.cells(given.grids) * mask[..., None]
    copies, most = padded[given.image], int(counts.max())
    scores = (0.3 * given.counts).clamp_max(1)
    dense = torch.zeros(len(scores), ANSWERS).scatter_add_(1, given.answers, scores)
    batch = VqaBatch(
        padded[:, :most],
        mask[:, :most],
        given.image,
        given.words,
        given.lengths,
        given.answers,
        scores,
    )

    def loss_of(model: published.Mcan) -> Tensor:
        logits = model(copies, given.words, given.lengths).logits
        return functional.binary_cross_entropy_with_logits(logits, dense, reduction="sum")

    theirs, ours, own_loss = published.Mcan(WORDS, ANSWERS), _ours(0.0), loss_for(RECIPE)
    losses = (lambda: loss_of(theirs), lambda: own_loss(ours(batch), batch))
    # Of a million ReLUs some are zero on one side only: 1.5e-5 apart, in double precision 1e-15.
    steps.require_equal("trimmed", (theirs, ours), losses, names.mcan, limit=1e-4)
    model = published.Mcan(WORDS, ANSWERS, dropout=0.1)
    optimiser = torch.optim.Adam(model.parameters(), lr=2.5e-5, betas=(0.9, 0.98), eps=1e-9)
    reference = steps.published_step(lambda: loss_of(model), optimiser, lambda: None)
    case = timing.Case(
        f"training step, trimmed to {most} of {MOST} regions",
        reference,
        steps.saccade_step(_ours(0.1), batch, RECIPE),
        bar=1.35,
    )
    timing.report("MCAN-small: 16 questions", timing.measure([case], rounds=2))


def _ours(dropout: float) -> Mcan:
    sizes = Sizes(words=WORDS, region_dim=inputs.CHANNELS, answers=ANSWERS, regions=MOST)
    return Mcan(McanConfig(dropout=dropout), sizes)


if __name__ == "__main__":
    main()
