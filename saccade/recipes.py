"""Every experiment that has a name. A new one is a line here; a variant is `model_copy(update=…)`.

`tests/test_every_recipe.py` runs over this table: each recipe must be complete and buildable, and
each `-small` one must learn.
"""

from saccade.config import (
    Adam,
    AnswersConfig,
    DecodeConfig,
    FeaturesConfig,
    HalfLife,
    OnPlateau,
    Recipe,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import MODELS
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswerConfig
from saccade.models.show_attend_tell import ShowAttendTellConfig

SHAPES_FEATURES = FeaturesConfig(backbone="timm:test_resnet", size=128, resize="squash")

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
        schedule=HalfLife(steps=50_000),
    ),
)

SHOW_ATTEND_TELL = Recipe(
    about="""Xu et al. 2015 on COCO (Karpathy splits), frozen encoder, in the PyTorch form that
    most people build on. Published: paper BLEU-4 24.3; PyTorch form 27.9 (frozen, 10 epochs).
    Expect about 17,700 steps an epoch; minutes an epoch on one GPU once features are extracted.""",
    model=ShowAttendTellConfig(),
    features=FeaturesConfig(backbone="timm:resnet101", size=256, resize="squash"),
    text=TextConfig(tokenizer="karpathy", at_least=6, longest=50),
    train=TrainConfig(
        epochs=120,
        batch_size=32,
        optimiser=Adam(learning_rate=4e-4),
        schedule=OnPlateau(factor=0.8, patience=8),
        clip_value=5.0,
        patience=20,
    ),
    decode=DecodeConfig(beams=3),
)

RECIPES: dict[str, Recipe] = {
    "show-ask-attend-answer": SHOW_ASK_ATTEND_ANSWER,
    "show-ask-attend-answer-small": SHOW_ASK_ATTEND_ANSWER.model_copy(
        update={
            "about": "A small Show, Ask, Attend, and Answer that learns Shapes in a minute.",
            # Half of so few units would be too little to learn from: no dropout.
            "model": MODELS["show_ask_attend_answer"].small.model_copy(update={"dropout": 0.0}),
            "features": SHAPES_FEATURES,
            "train": TrainConfig(
                epochs=12,
                batch_size=32,
                optimiser=Adam(learning_rate=3e-3),
                schedule=HalfLife(steps=3000),
            ),
        }
    ),
    "show-attend-tell": SHOW_ATTEND_TELL,
    "show-attend-tell-small": SHOW_ATTEND_TELL.model_copy(
        update={
            "about": "A small Show, Attend and Tell that learns Shapes in a minute.",
            "model": MODELS["show_attend_tell"].small,
            "features": SHAPES_FEATURES,
            "text": TextConfig(tokenizer="karpathy", at_least=1, longest=50),
            "train": TrainConfig(
                epochs=4,
                batch_size=64,
                optimiser=Adam(learning_rate=3e-3),
                clip_value=5.0,
            ),
        }
    ),
}
