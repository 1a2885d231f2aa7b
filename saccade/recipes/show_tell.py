"""Recipes of Show and Tell."""

from saccade.config import (
    Adam,
    DecodeConfig,
    FeaturesConfig,
    MultiStep,
    Recipe,
    Sgd,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import ShowTellConfig
from saccade.recipes.shapes import small_captioner
from saccade.recipes.show_attend_tell import SHOW_ATTEND_TELL

SHOW_TELL = SHOW_ATTEND_TELL.replace(
    about="""Vinyals et al. 2015 on COCO, as a course's model "without attention" has it: the
    whole flattened map through one layer and a batch norm stands before the words. Published:
    paper BLEU-4 27.7 (ensemble); this form 26.7 on test after 10 epochs, frozen encoder.
    Expect about 17,700 steps an epoch; the first layer alone has 205 million weights.""",
    model=ShowTellConfig(),
    train=SHOW_ATTEND_TELL.train.replace(epochs=10),
)

RUOTIANLUO = DecodeConfig(
    beam_size=3, max_length=20, unfinished="keep", refill_beam=True, suppress_unk=True
)
"""How ruotianluo's self-critical.pytorch generates captions."""

SHOW_TELL_FIRST_WORD = SHOW_ATTEND_TELL.replace(
    about="""Vinyals et al. 2015 on COCO: the mean of the image's cells is the first word
    that the LSTM reads. Sizes as ruotianluo's port. Published: paper BLEU-4 27.7; Flickr8k 19.8
    (a frozen VGG-16, beam 3). Expect about 11,300 steps an epoch of 50 captions.""",
    model=ShowTellConfig(
        init_pool="mean", pool_size=None, batch_norm=None, image_bias=True, cell_bias=False
    ),
    text=TextConfig(tokenizer="karpathy", min_count=6, max_length=16),
    decode=RUOTIANLUO,
    train=TrainConfig(
        epochs=30,
        batch_size=50,
        optimiser=Adam(learning_rate=5e-4),
        schedule=MultiStep(unit="epoch", milestones=tuple(range(3, 30, 3)), factor=0.8),
        clip_value=0.1,
        select_by="cider",
    ),
)

SHOW_TELL_IM2TXT = Recipe(
    about="""Vinyals et al. 2015 on COCO as the authors' own im2txt trains it, on frozen features:
    plain gradient descent at a rate of 2, halved every eight epochs. Published: paper BLEU-4 27.7,
    CIDEr 85.5 (ensemble, encoder fine-tuned at the end, 299 pixels cut out at random). Expect
    about 18,300 steps an epoch, 55 epochs; they took a million steps before fine-tuning.""",
    model=ShowTellConfig(
        init_pool="mean",
        pool_size=None,
        batch_norm=None,
        image_bias=False,
        input_dropout=0.3,
        dropout=0.3,
        init="everything",
    ),
    features=FeaturesConfig(backbone="timm:inception_v3", size=299, resize="squash"),
    text=TextConfig(tokenizer="karpathy", min_count=4),
    train=TrainConfig(
        epochs=55,
        batch_size=32,
        optimiser=Sgd(learning_rate=2.0, momentum=0),
        schedule=MultiStep(unit="epoch", milestones=tuple(range(8, 55, 8)), factor=0.5),
        clip_norm=5.0,
    ),
    # 20 words with the start; its beam always holds three unfinished captions
    decode=DecodeConfig(beam_size=3, max_length=19, refill_beam=True),
)

# One vector for the image: without a batch norm its few differences drown in what is common.
SMALL = small_captioner(SHOW_TELL, "Show and Tell", 10, dropout=0.1, batch_norm=0.1)
