"""Recipes of PitVQA-Net, surgical VQA."""

from saccade.config import Adam, AnswersConfig, FeaturesConfig, Recipe, TextConfig, TrainConfig
from saccade.models.catalogue import EncoderConfig, PitVqaConfig
from saccade.recipes.shapes import small_vqa

VIT = "transformers:google/vit-base-patch16-224-in21k"

PITVQA = Recipe(
    about="""He et al. 2024 on PitVQA, as the released code trains it: GPT-2's words and weights, a
    text encoder that begins at random, padding read, frames not normalised.
    Published: validation accuracy 76.0, balanced accuracy 56.7, macro F1 58.4, on the very split
    that chose the epoch, there by macro F1 (here by accuracy). Its ViT learns too; encoder=none
    keeps it as it is. GPT-2's tokenizer must lie in a folder `gpt2`; or set text.tokenizer.
    Expect about 10,600 steps an epoch, 60 epochs; days on one GPU.""",
    model=PitVqaConfig(language_weights="gpt2"),
    features=FeaturesConfig(
        backbone=VIT,
        size=224,
        resize="squash",
        mean=(0, 0, 0),
        std=(1, 1, 1),
        interpolation="bicubic",
    ),
    encoder=EncoderConfig(backbone=VIT, trains_from="0"),
    text=TextConfig(tokenizer="file:gpt2", max_length=30),
    answers=AnswersConfig(size=None, normaliser="none", count="best_answers", target="best"),
    train=TrainConfig(epochs=60, batch_size=64, optimiser=Adam(learning_rate=2e-5), seed=42),
)

PITVQA_FIXED = PITVQA.replace(
    about="""PitVQA-Net as its paper describes it: BLIP's encoder, real words only, layer
    norm, frames normalised as the ViT was trained. Published: no score of that form.
    Expect about 10,600 steps an epoch, 60 epochs; days on one GPU.""",
    model=PitVqaConfig(
        mode="fixed", text_weights="Salesforce/blip-vqa-base", language_weights="gpt2"
    ),
    features=PITVQA.features.replace(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=None),
)

SMALL = small_vqa(
    PITVQA.replace(text=TextConfig(tokenizer="karpathy", max_length=30), encoder=None),
    "PitVQA-Net",
    learning_rate=1e-3,
)
