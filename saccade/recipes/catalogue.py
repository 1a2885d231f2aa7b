"""Every experiment that has a name. A new one is a line here; a variant is `model_copy(update=…)`.

`tests/test_every_recipe.py` runs over this table: each recipe must be complete and buildable, and
each `-small` one must learn.
"""

import os
from collections.abc import Iterable
from functools import reduce

from saccade.config import (
    Adam,
    AnswersConfig,
    Exponential,
    FeaturesConfig,
    Recipe,
    TextConfig,
    TrainConfig,
    change,
)
from saccade.models.catalogue import MODELS, ShowAskAttendAnswerConfig, look_up
from saccade.recipes.captioning import CAPTION_RECIPES
from saccade.recipes.vqa import SHAPES_FEATURES, SURGICAL_RECIPES, VQA_RECIPES

SHOW_ASK_ATTEND_ANSWER = Recipe(
    about="""Kazemi & Elqursh 2017 on VQA v1 (train), as the public code trains it.
    Published: test-standard 64.6 (yes/no 82.0, number 39.1, other 55.2); VQA v2 validation 59.7.
    Expect 50 epochs of about 2,000 steps; a few hours on one GPU once features are extracted.""",
    model=ShowAskAttendAnswerConfig(),
    features=FeaturesConfig(backbone="timm:resnet152", size=448, resize_to=512),
    text=TextConfig(tokenizer="show_ask_attend_answer"),
    answers=AnswersConfig(size=3000, normaliser="show_ask_attend_answer"),
    train=TrainConfig(
        epochs=50,
        batch_size=128,
        optimiser=Adam(learning_rate=1e-3),
        schedule=Exponential(half_life=50_000),
    ),
)

RECIPES: dict[str, Recipe] = {
    **VQA_RECIPES,
    "show-ask-attend-answer": SHOW_ASK_ATTEND_ANSWER,
    "show-ask-attend-answer-small": SHOW_ASK_ATTEND_ANSWER.model_copy(
        update={
            "about": "A small Show, Ask, Attend, and Answer that learns Shapes in a minute.",
            # Half of so few units would be too little to learn from: no dropout.
            "model": MODELS["show_ask_attend_answer"].small.model_copy(update={"dropout": 0.0}),
            "features": SHAPES_FEATURES,
            "train": TrainConfig(
                epochs=10,
                batch_size=32,
                optimiser=Adam(learning_rate=3e-3),
                schedule=Exponential(half_life=3000),
            ),
        }
    ),
    **SURGICAL_RECIPES,
    **CAPTION_RECIPES,
}


def load_recipe(recipe: str | os.PathLike[str] | Recipe, changes: Iterable[str] = ()) -> Recipe:
    """A named recipe with FIELD=VALUE changes. Raises BadConfig for names that do not exist."""
    chosen: Recipe = (
        recipe if isinstance(recipe, Recipe) else look_up(RECIPES, "recipe", os.fspath(recipe))
    )
    return reduce(change, changes, chosen)
