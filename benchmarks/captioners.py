"""Training Show and Tell and the Up-Down captioner: saccade against ruotianluo's port.

    python -m benchmarks.captioners

50 captions of 10 images with 36 regions, features ready on both sides; the port too has each
image once. It predicts 16 words and an end for every caption, padding included.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import inputs, published, steps, timing
from saccade.config import Recipe
from saccade.data.batch import CaptionBatch, Sizes
from saccade.models.catalogue import build_model
from saccade.models.losses import caption_loss
from saccade.recipes.catalogue import RECIPES

SIZES = Sizes(words=inputs.WORDS, region_dim=inputs.CHANNELS, grid=(6, 6))
SHOW_TELL_NAMES = {
    "img_embed": "project_image",
    "core": "lstm",
    "embed": "embed",
    "logit": "output",
}
UP_DOWN_NAMES = {
    "embed": "embed",
    "fc_embed": "project_mean",
    "att_embed": "project_regions",
    "ctx2att": "key",
    "att_lstm": "attention_lstm",
    "lang_lstm": "language_lstm",
    "h2att": "query",
    "alpha_net": "score",
    "logit": "output",
}


def main() -> None:
    """Compare results, then times."""
    timing.one_thread()
    given = inputs.port_captions(images=10, each=5)
    regions = inputs.cells(given.grids)
    pooled, words = regions.mean(dim=1), given.words[:, :-1]
    batch = _batch(given, regions)

    def show_tell(dropout: float) -> tuple[nn.Module, Callable[[], Tensor]]:
        model = published.ShowTell(inputs.WORDS, inputs.CHANNELS, dropout=dropout)
        return model, lambda: _loss(model(pooled, words), given)

    def up_down(dropout: float) -> tuple[nn.Module, Callable[[], Tensor]]:
        model = published.UpDown(inputs.WORDS, inputs.CHANNELS, dropout=dropout)
        return model, lambda: _loss(model(pooled, regions, words), given)

    first = _case("Show and Tell", show_tell, "show-tell-first-word", SHOW_TELL_NAMES, batch, 2.4)
    second = _case("Up-Down", up_down, "up-down", UP_DOWN_NAMES, batch, 1.8)
    timings = [*timing.measure([first], rounds=7), *timing.measure([second], rounds=3)]
    timing.report("Captioners: 10 images x 5 captions", timings)


def _case(
    title: str,
    make: Callable[[float], tuple[nn.Module, Callable[[], Tensor]]],
    recipe_name: str,
    names: dict[str, str],
    batch: CaptionBatch,
    bar: float,
) -> timing.Case:
    recipe = RECIPES[recipe_name]
    theirs, their_loss = make(0.0)
    ours = _ours(recipe, dropout=0.0)
    losses = (their_loss, lambda: caption_loss(ours(batch), batch))
    steps.require_equal(title, (theirs, ours), losses, names)
    model, loss = make(0.5)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-4)
    reference = steps.published_step(
        loss, optimiser, lambda: nn.utils.clip_grad_value_(model.parameters(), 0.1)
    )
    saccade = steps.saccade_step(_ours(recipe), batch, recipe)
    return timing.Case(f"{title}, training step", reference, saccade, bar)


def _ours(recipe: Recipe, **change: float) -> nn.Module:
    return build_model(recipe.model.model_copy(update=change), SIZES)


def _loss(log_probabilities: Tensor, given: inputs.Captions) -> Tensor:
    return published.port_loss(log_probabilities, given.words, given.lengths)


def _batch(given: inputs.Captions, regions: Tensor) -> CaptionBatch:
    """Captions as saccade's data sets hand them out: longest first, cut to the longest."""
    order = given.lengths.argsort(descending=True, stable=True)
    mask = torch.ones(regions.shape[:2], dtype=torch.bool)
    words = given.words[order, : int(given.lengths.max())]
    return CaptionBatch(regions, mask, given.image[order], words, given.lengths[order])


if __name__ == "__main__":
    main()
