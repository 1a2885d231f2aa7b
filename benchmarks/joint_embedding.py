"""Training the joint embedding of VQA: saccade against hengyuan-hu's program.

    python -m benchmarks.joint_embedding

255 questions about 51 images of 36 regions. The published program (whose batch is twice as large)
reads 14 words of every question, padding in front, and has a copy of its image for each.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import inputs, published, steps, timing
from saccade.data.batch import Sizes, VqaBatch
from saccade.models.catalogue import JointEmbeddingConfig
from saccade.models.joint_embedding import JointEmbedding
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import loss_for

RECIPE = RECIPES["joint-embedding"]
WORDS, ANSWERS, REGIONS, MAX_LENGTH = 19_902, 3129, 36, 14
NAMES = {
    "w_emb": "embed",
    "q_emb": "question_encoder.rnn",
    "v_proj": "attention.project_regions",
    "q_proj": "attention.project_question",
    "linear": "attention.score",
    "q_net": "project_question",
    "v_net": "project_image",
    "lin1": "hidden",
    "lin2": "output",
}


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.questions(
        images=51, each=5, side=6, vocabulary=WORDS, listed=ANSWERS, max_length=MAX_LENGTH
    )
    regions = inputs.cells(given.grids)
    scores = (0.3 * given.counts).clamp_max(1)
    dense = torch.zeros(len(scores), ANSWERS).scatter_add_(1, given.answers, scores)
    copies, in_front = regions[given.image], _in_front(given)
    shared = _batch(given, regions, given.image, scores)

    def loss_of(model: nn.Module) -> Tensor:
        logits = model(copies, in_front)
        return functional.binary_cross_entropy_with_logits(logits, dense) * ANSWERS

    theirs, ours = (
        published.JointEmbedding(WORDS, ANSWERS, inputs.CHANNELS, dropout=False),
        _ours(0),
    )
    own_loss = loss_for(RECIPE)
    steps.require_equal(
        "shared images",
        (theirs, ours),
        (lambda: loss_of(theirs), lambda: own_loss(ours(shared), shared)),
        NAMES,
    )
    model = published.JointEmbedding(WORDS, ANSWERS, inputs.CHANNELS)
    reference = steps.published_step(
        lambda: loss_of(model),
        torch.optim.Adamax(model.parameters(), lr=2e-3),
        lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.25),
    )
    case = timing.Case(
        "training step, 51 images x 5 questions",
        reference,
        steps.saccade_step(_ours(), shared, RECIPE),
        bar=1.4,
    )
    timing.report("Joint embedding: 255 questions", timing.measure([case], rounds=3))


def _batch(given: inputs.Questions, regions: Tensor, image: Tensor, scores: Tensor) -> VqaBatch:
    """Questions as saccade's data sets hand them out."""
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    return VqaBatch(regions, mask, image, given.words, given.lengths, given.answers, scores)


def _in_front(given: inputs.Questions) -> Tensor:
    """Questions as the published data set holds them: 14 words, zeros in front."""
    place = torch.arange(MAX_LENGTH) - (MAX_LENGTH - given.lengths)[:, None]
    return given.words.gather(1, place.clamp_min(0)) * (place >= 0)


def _ours(dropout: float | None = None) -> JointEmbedding:
    config = JointEmbeddingConfig()
    if dropout is not None:
        config = JointEmbeddingConfig(dropout=dropout, attention_dropout=dropout)
    sizes = Sizes(words=WORDS, region_dim=inputs.CHANNELS, answers=ANSWERS, regions=REGIONS)
    return JointEmbedding(config, sizes)


if __name__ == "__main__":
    main()
