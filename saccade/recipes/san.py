"""Recipes of stacked attention networks."""

from saccade.config import (
    AnswersConfig,
    FeaturesConfig,
    Recipe,
    RmsProp,
    Sgd,
    TextConfig,
    TrainConfig,
    WeightRule,
)
from saccade.models.catalogue import SanConfig
from saccade.recipes.shapes import small_vqa

SAN_CNN = Recipe(
    about="""Yang et al. 2016 on VQA v1, SAN(2, CNN) as the public code trains it: attention with
    squashed scores, an answer drawn from the ten each time. Published: test-standard 58.9.
    Expect about 2,400 steps an epoch, 50 epochs; use model.attention=paper for the paper's own.""",
    model=SanConfig(attention="released"),
    features=FeaturesConfig(backbone="timm:vgg19", size=448, resize="squash"),
    text=TextConfig(tokenizer="san", unk_token=True),
    answers=AnswersConfig(size=1000, normaliser="official", loss="sampled"),
    train=TrainConfig(
        epochs=50,
        batch_size=100,
        optimiser=Sgd(learning_rate=0.1, momentum=0.9, weight_decay=1e-3),
        clip_norm_per_tensor=0.1,
        rules={"embed": WeightRule(rate=80, weight_decay=False)},
    ),
)

SAN_LSTM = SAN_CNN.replace(
    about="""Yang et al. 2016 on VQA v1, SAN(2, LSTM): the same with the released LSTM, which
    reads backwards. Published: 57.3 on the authors' own split, against the CNN's 57.6.
    Expect about 2,400 steps an epoch, 50 epochs.""",
    model=SanConfig(reader="released_lstm", attention="released"),
    train=SAN_CNN.train.replace(optimiser=Sgd(learning_rate=0.05, momentum=0.9, weight_decay=1e-3)),
)

SAN_COURSE = Recipe(
    about="""Stacked attention as a public course port has it (UCSD ECE285), its bugs mended: grids
    read in order, logits into the loss, official accuracy. 49 cells of a VGG-16 with batch norm,
    ordinary LSTM, RMSprop. Published: no score. The port cuts 224 pixels out of the image as it
    is; here it is made small first. Expect 10 epochs; the port used half of VQA v2 train.""",
    model=SanConfig(reader="lstm", embedding=1000, attention_dropout=0.5),
    features=FeaturesConfig(
        backbone="timm:vgg16_bn", size=224, resize="shorter_side", mean=(0.5,) * 3, std=(0.5,) * 3
    ),
    text=TextConfig(tokenizer="karpathy"),
    answers=AnswersConfig(
        size=1000, normaliser="official", only_words=True, count="best_answers", target="best"
    ),
    train=TrainConfig(
        epochs=10, batch_size=200, optimiser=RmsProp(learning_rate=4e-4, momentum=0.9)
    ),
)

SMALL = small_vqa(SAN_CNN, "stacked attention network")
