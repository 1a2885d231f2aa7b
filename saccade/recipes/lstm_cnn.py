"""Recipes of deeper LSTM Q + norm I, and of basic_vqa."""

from saccade.config import (
    Adam,
    AnswersConfig,
    Exponential,
    FeaturesConfig,
    MultiStep,
    Recipe,
    RmsProp,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import LstmCnnConfig
from saccade.recipes.shapes import small_vqa

FC7 = FeaturesConfig(backbone="timm:vgg19", size=224, resize="squash", options={"vector": True})
"""The 4,096 numbers that a VGG's classifier reads."""

LSTM_CNN = Recipe(
    about="""Antol et al. 2015 (deeper LSTM Q + norm I) on VQA v1, as the authors' code trains it.
    Published: test-standard 58.2 (yes/no 80.6, number 36.5, other 43.7) with fc7 of VGG-19, after
    150,000 steps of 500 questions drawn with replacement, which are 348 epochs.
    Expect about 430 steps an epoch; 348 epochs are an hour or two on one GPU.""",
    model=LstmCnnConfig(),
    features=FC7,
    text=TextConfig(tokenizer="treebank", max_length=26),
    answers=AnswersConfig(size=1000, normaliser="none", count="best_answers", target="best"),
    train=TrainConfig(
        epochs=348,
        batch_size=500,
        optimiser=RmsProp(learning_rate=3e-4),
        schedule=Exponential(half_life=28_786),
        clip_value=10.0,
        seed=123,
    ),
)

SMALL = small_vqa(LSTM_CNN, "deeper LSTM Q + norm I")

BASIC_VQA = Recipe(
    about="""tbmoon/basic_vqa on VQA v2: the same idea with tanh elsewhere, a hidden layer, and an
    LSTM that reads padding too. Published: 54.7 in its README, by another metric (any human
    answer is right), with fc7 of VGG-19.
    Expect about 1,700 steps an epoch, 30 epochs.""",
    model=LstmCnnConfig(form="basic_vqa", embedding=300, padded_to=30),
    features=FC7,
    text=TextConfig(tokenizer="basic_vqa", max_length=30, unk_token=True),
    answers=AnswersConfig(size=999, normaliser="none", only_words=True, loss="sampled"),
    train=TrainConfig(
        epochs=30,
        batch_size=256,
        optimiser=Adam(learning_rate=1e-3),
        schedule=MultiStep(unit="epoch", milestones=(10, 20), factor=0.1),
    ),
)
