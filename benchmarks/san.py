"""Training stacked attention networks: saccade against the released program.

    python -m benchmarks.san

100 questions about 20 images of 14 x 14 cells: the released program has a copy of its image
for every question, saccade has each image once.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import inputs, published, steps, timing
from saccade.data.batch import Sizes, VqaBatch
from saccade.models.catalogue import build_model
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import loss_for

RECIPE = RECIPES["san-cnn"]
WORDS, ANSWERS, CHANNELS = 13_747, 1000, 512
NAMES = {
    "w_emb": "embed",
    "conv": "question_encoder.ngrams",
    "image_mlp": "project_regions",
    "combined_mlp": "output",
    **{
        f"{theirs}.{hop}": f"hops.{hop}.{ours}"
        for theirs, ours in [
            ("image_att", "project_regions"),
            ("sent_att", "project_query"),
            ("combined_att", "score"),
        ]
        for hop in range(2)
    },
}


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.questions(images=20, each=5, channels=CHANNELS, vocabulary=WORDS, listed=ANSWERS)
    regions = inputs.cells(given.grids)
    copies, label = regions[given.image], given.answers[:, 0]  # the answer drawn this time
    batch = VqaBatch(
        regions,
        torch.ones(regions.shape[:2], dtype=torch.bool),
        given.image,
        given.words,
        given.lengths,
        label[:, None],
        torch.ones(len(label), 1),
    )

    def loss_of(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(copies, given.words), label)

    theirs, ours = published.San(WORDS, ANSWERS, CHANNELS, dropout=0), _ours(dropout=0)
    own_loss = loss_for(RECIPE)
    losses = (lambda: loss_of(theirs), lambda: own_loss(ours(batch), batch))
    steps.require_equal("shared images", (theirs, ours), losses, NAMES)
    model = published.San(WORDS, ANSWERS, CHANNELS)
    case = timing.Case(
        "training step, 20 images x 5 questions",
        steps.published_step(lambda: loss_of(model), _descent(model), lambda: _tend(model)),
        steps.saccade_step(_ours(), batch, RECIPE),
        bar=3.0,
    )
    timing.report("SAN(2, CNN): 100 questions", timing.measure([case], rounds=5))


def _descent(model: published.San) -> torch.optim.Optimizer:
    """Momentum for everything; word vectors at 80 times the rate."""
    others = [p for name, p in model.named_parameters() if name != "w_emb.weight"]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [model.w_emb.weight], "lr": 8.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def _tend(model: nn.Module) -> None:
    """What pulls weights to zero, word vectors apart; then each tensor's gradient is clipped."""
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        if name != "w_emb.weight":
            parameter.grad.add_(parameter.detach(), alpha=1e-3)
        nn.utils.clip_grad_norm_(parameter, 0.1)


def _ours(**change: float) -> nn.Module:
    sizes = Sizes(words=WORDS, region_dim=CHANNELS, answers=ANSWERS, grid=(14, 14), regions=196)
    return build_model(RECIPE.model.model_copy(update=change), sizes)


if __name__ == "__main__":
    main()
