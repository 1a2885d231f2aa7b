"""Recipes of iBOWIMG."""

from saccade.config import (
    AnswersConfig,
    FeaturesConfig,
    Recipe,
    SgdW,
    TextConfig,
    TrainConfig,
    WeightRule,
)
from saccade.models.catalogue import IBowImgConfig
from saccade.recipes.shapes import small_vqa

IBOWIMG = Recipe(
    about="""Zhou et al. 2015 on VQA v1, as the public code trains it: loss added up over a batch,
    every weight tensor clipped, paced and limited by itself, which its authors call critical.
    Published: test-standard 55.9 (yes/no 76.8, number 35.0, other 42.6). They chose the epoch on a
    part of the validation split, then trained on all of it. Its images are GoogLeNet vectors;
    here an image is the mean of its cells. Expect 100 epochs of about 2,400 short steps.""",
    model=IBowImgConfig(),
    features=FeaturesConfig(backbone="timm:resnet152", size=224, resize="shorter_side"),
    text=TextConfig(tokenizer="karpathy", min_count=6, max_length=50),
    answers=AnswersConfig(
        size=None, normaliser="none", min_count=3, summed=True, count="best_answers", target="best"
    ),
    train=TrainConfig(
        epochs=100,
        batch_size=100,
        optimiser=SgdW(learning_rate=0.8, momentum=0.9, weight_decay=5e-6),
        clip_norm_per_tensor=0.1,
        rules={"embed": WeightRule(max_norm=1500), "output": WeightRule(rate=0.0125, max_norm=20)},
    ),
)

SMALL = small_vqa(IBOWIMG, "iBOWIMG")
