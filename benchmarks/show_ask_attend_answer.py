"""Training and asking Show, Ask, Attend, and Answer: saccade against the published program.

    python -m benchmarks.show_ask_attend_answer

125 questions about 25 images of 14 x 14 cells: the published program has a copy of its image
for every question, saccade has each image once. Features are ready in memory on both sides.
Where saccade too is given an image per question, sharing cannot help.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import inputs, timing
from saccade.config import Adam, TrainConfig
from saccade.data.batch import Sizes, VqaBatch
from saccade.models.catalogue import ShowAskAttendAnswerConfig
from saccade.models.losses import answer_loss
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswer
from saccade.training.optim import make_optimiser
from tests.oracles import names
from tests.oracles import show_ask_attend_answer as published

LEARNING_RATE = 1e-3


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.questions(images=25, each=5)
    copies = given.grids[given.image]  # (125, C, 14, 14)
    regions = inputs.cells(given.grids)
    counts = published.dense_counts(given.answers, given.counts, inputs.ANSWERS)
    shared = _batch(given, regions, given.image)
    apart = _batch(given, regions[given.image], torch.arange(len(given.image)))
    _require_equal("shared images", copies, counts, given, shared)
    _require_equal("an image per question", copies, counts, given, apart)
    reference, asked = _published_step(copies, counts, given), _published_answer(copies, given)
    timings = timing.measure(
        [
            timing.Case(
                "training step, 25 images x 5 questions", reference, _saccade_step(shared), 3.0
            ),
            timing.Case(
                "training step, an image per question", reference, _saccade_step(apart), 1.6
            ),
            timing.Case("answering, 25 images x 5 questions", asked, _saccade_answer(shared), 3.5),
        ],
        rounds=5,
    )
    timing.report("Show, Ask, Attend, and Answer: 125 questions", timings)


def _batch(given: inputs.Questions, regions: Tensor, image: Tensor) -> VqaBatch:
    """Questions as saccade's data sets hand them out: only the answers that people gave."""
    return VqaBatch(
        regions,
        torch.ones(regions.shape[:2], dtype=torch.bool),
        image,
        given.words,
        given.lengths,
        given.answers,
        given.counts / 10,
    )


def _published() -> published.ShowAskAttendAnswer:
    return published.ShowAskAttendAnswer(inputs.QUESTION_WORDS, inputs.ANSWERS)


def _saccade(dropout: float = 0.5) -> ShowAskAttendAnswer:
    sizes = Sizes(
        words=inputs.QUESTION_WORDS,
        region_dim=inputs.CHANNELS,
        answers=inputs.ANSWERS,
        grid=(14, 14),
        regions=196,
    )
    return ShowAskAttendAnswer(ShowAskAttendAnswerConfig(dropout=dropout), sizes)


def _published_step(copies: Tensor, counts: Tensor, given: inputs.Questions) -> Callable[[], float]:
    """One step as the published training takes it."""
    model = _published()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step() -> float:
        optimiser.zero_grad()
        loss = published.loss(model(copies, given.words, given.lengths).logits, counts)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def _saccade_step(batch: VqaBatch) -> Callable[[], float]:
    """One step as `saccade.training.train` takes it."""
    model = _saccade()
    optimiser = make_optimiser(model, TrainConfig(optimiser=Adam(learning_rate=LEARNING_RATE)))

    def step() -> float:
        loss = answer_loss(model(batch), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def _published_answer(copies: Tensor, given: inputs.Questions) -> Callable[[], Tensor]:
    model = _published().eval()

    @torch.no_grad()
    def answer() -> Tensor:
        answered: Tensor = model(copies, given.words, given.lengths).logits.argmax(dim=1)
        return answered

    return answer


def _saccade_answer(batch: VqaBatch) -> Callable[[], Tensor]:
    model = _saccade().eval()

    @torch.inference_mode()
    def answer() -> Tensor:
        logits: Tensor = model(batch).logits
        return logits.argmax(dim=1)

    return answer


def _require_equal(
    what: str, copies: Tensor, counts: Tensor, given: inputs.Questions, batch: VqaBatch
) -> None:
    """Same weights, no dropout: same attention, same loss, same gradient."""
    theirs = published.ShowAskAttendAnswer(inputs.QUESTION_WORDS, inputs.ANSWERS, dropout=0.0)
    ours = _saccade(dropout=0.0)
    names.copy_weights(theirs, ours, names.SHOW_ASK_ATTEND_ANSWER)
    answered, output = theirs(copies, given.words, given.lengths), ours(batch)
    wanted, got = published.loss(answered.logits, counts), answer_loss(output, batch)
    wanted.backward()
    got.backward()
    assert output.attention is not None
    encoded = timing.relative_difference(answered.attention, output.attention)
    timing.require_equal(f"{what}, attention", encoded)
    timing.require_equal(f"{what}, loss", timing.relative_difference(wanted, got))
    apart = names.gradient_difference(theirs, ours, names.SHOW_ASK_ATTEND_ANSWER)
    timing.require_equal(f"{what}, gradient", apart)


if __name__ == "__main__":
    main()
