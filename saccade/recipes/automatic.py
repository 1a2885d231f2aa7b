"""The automatic recipes, as they are where nothing is known of the data; see `advice`."""

from saccade.config import (
    AdamW,
    AnswersConfig,
    Cosine,
    DecodeConfig,
    FeaturesConfig,
    Recipe,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import ProductOfExpertsConfig, ShowAttendTellConfig
from saccade.recipes.show_attend_tell import SHOW_ATTEND_TELL

AUTO_VQA = Recipe(
    about="""For data of your own. What the data decides (steps, sizes, answers) `saccade advise
    DATA` chooses and explains, as `train auto-vqa` does; here are the values for nothing known.
    An answer prior from the question's words, and what the image adds to it; where validation
    shows that it adds nothing, the prior alone is the run. Published: no score.
    Expect minutes for some thousands of questions on a CPU.""",
    model=ProductOfExpertsConfig(),
    features=FeaturesConfig(backbone="timm:resnet50", size=224, resize="squash"),
    text=TextConfig(tokenizer="karpathy", max_length=40, word_dropout=0.1),
    answers=AnswersConfig(size=None, normaliser="official"),
    train=TrainConfig(
        epochs=40,
        batch_size=128,
        optimiser=AdamW(learning_rate=3e-3, weight_decay=0.02),
        schedule=Cosine(warmup_steps=40),
        ema=0.99,
    ),
)

AUTO_CAPTION = SHOW_ATTEND_TELL.replace(
    about="""For data of your own: Show, Attend and Tell with the habits of later years (AdamW, a
    cosine, label smoothing, the moving average of the weights). What the data decides `saccade
    advise DATA` chooses and explains, as `train auto-caption` does. Published: no score.
    Expect half an hour for 2,000 images on a CPU.""",
    model=ShowAttendTellConfig(pool_size=None),
    features=FeaturesConfig(backbone="timm:resnet50", size=224, resize="squash"),
    text=TextConfig(tokenizer="karpathy", min_count=3, max_length=50),
    train=TrainConfig(
        epochs=10,
        batch_size=128,
        optimiser=AdamW(learning_rate=1e-3, weight_decay=0.02),
        schedule=Cosine(warmup_steps=60),
        clip_value=5.0,
        ema=0.995,
        label_smoothing=0.1,
    ),
    decode=DecodeConfig(beam_size=5, max_length=51, length_penalty=0.7),
)
