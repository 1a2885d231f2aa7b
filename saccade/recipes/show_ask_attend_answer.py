"""Recipes of Show, Ask, Attend, and Answer."""

from saccade.config import (
    Adam,
    AnswersConfig,
    Exponential,
    FeaturesConfig,
    Recipe,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import MODELS, ShowAskAttendAnswerConfig
from saccade.recipes.shapes import SMALL_FEATURES

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

SMALL = SHOW_ASK_ATTEND_ANSWER.replace(
    about="A small Show, Ask, Attend, and Answer that learns Shapes in a minute.",
    # Half of so few units would be too little to learn from: no dropout.
    model=MODELS["show_ask_attend_answer"].small.replace(dropout=0.0),
    features=SMALL_FEATURES,
    train=TrainConfig(
        epochs=10,
        batch_size=32,
        optimiser=Adam(learning_rate=3e-3),
        schedule=Exponential(half_life=3000),
    ),
)
