"""The experiments of the captioning systems that have a name, as their public codes run them."""

from saccade.config import (
    Adam,
    AdamW,
    Cosine,
    DecodeConfig,
    FeaturesConfig,
    InverseSqrt,
    MultiStep,
    Recipe,
    ReduceOnPlateau,
    ScheduledSampling,
    SelfCritical,
    Sgd,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import (
    MODELS,
    AdaptiveAttentionConfig,
    AoaConfig,
    Att2inConfig,
    EncoderConfig,
    ShowAttendTellConfig,
    ShowTellConfig,
    TransformerConfig,
    UpDownConfig,
)
from saccade.recipes.vqa import SMALL_FEATURES

SHOW_ATTEND_TELL = Recipe(
    about="""Xu et al. 2015 on COCO (Karpathy splits), frozen encoder, in the PyTorch form that
    most people build on. Published: paper BLEU-4 24.3; PyTorch form 27.9 (frozen, 10 epochs).
    Expect about 17,700 steps an epoch; minutes an epoch on one GPU once features are extracted.""",
    model=ShowAttendTellConfig(),
    features=FeaturesConfig(backbone="timm:resnet101", size=256, resize="squash"),
    text=TextConfig(tokenizer="karpathy", min_count=6, max_length=50),
    train=TrainConfig(
        epochs=120,
        batch_size=32,
        optimiser=Adam(learning_rate=4e-4),
        schedule=ReduceOnPlateau(factor=0.8, patience=8),
        clip_value=5.0,
        patience=20,
    ),
    decode=DecodeConfig(beam_size=3, max_length=51),  # 50 words and the end
)

SHOW_ATTEND_TELL_FINE_TUNED = SHOW_ATTEND_TELL.replace(
    about="""Xu et al. 2015 on COCO as the PyTorch form fine-tunes it: the encoder learns
    from its second block on (layer2 to layer4), at a rate of its own. It begins with a run of
    show-attend-tell: --from RUN. Published: test BLEU-4 30.0 after 4 epochs, 31.1 after 10 (a
    write-up); 30.3 (beam 1), 33.1 (beam 3) by the form's author. That form also leaves batch norm
    in training mode (encoder.batch_norm=trained). Expect about 17,700 steps an epoch; its author
    and the write-up took 2.5 and 4 hours an epoch, 3 to 10 epochs.""",
    features=SHOW_ATTEND_TELL.features.replace(backbone="pixels"),
    encoder=EncoderConfig(backbone="timm:resnet101", trains_from="layer2", learning_rate=1e-4),
)

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

ADAPTIVE_ATTENTION = Recipe(
    about="""Lu et al. 2017 on COCO, the network of the paper's equations. Published: BLEU-4 33.2,
    CIDEr 108.5, with the CNN fine-tuned from epoch 20 on; frozen features reach less, which its
    author calls essential. Expect about 7,100 steps an epoch of 80 captions, at most 50 epochs.""",
    model=AdaptiveAttentionConfig(),
    features=FeaturesConfig(backbone="timm:resnet152", size=224, resize="squash"),
    text=TextConfig(tokenizer="karpathy", min_count=5, max_length=18),
    train=TrainConfig(
        epochs=50,
        batch_size=80,
        optimiser=Adam(learning_rate=5e-4, betas=(0.8, 0.999)),
        select_by="cider",
        patience=6,
    ),
    decode=DecodeConfig(beam_size=3, max_length=18, unfinished="keep"),  # as the authors' Lua code
)

ADAPTIVE_ATTENTION_FINE_TUNED = ADAPTIVE_ATTENTION.replace(
    about="""Lu et al. 2017 on COCO with its late fine-tuning: from epoch 20 on the CNN
    learns too, from its second block on, at 1e-5. Published: BLEU-4 33.2, CIDEr 108.5, the
    released model of epoch 36. They cut 224 of 256 pixels at random; here none. Expect about
    7,100 steps an epoch of 80 captions. Cheaper by twenty epochs of an unchanging CNN: train
    adaptive-attention for 20 epochs, then this one --from RUN with encoder.first_epoch=0.""",
    features=ADAPTIVE_ATTENTION.features.replace(backbone="pixels"),
    encoder=EncoderConfig(
        backbone="timm:resnet152", trains_from="layer2", learning_rate=1e-5, first_epoch=20
    ),
)

ADAPTIVE_ATTENTION_LUA = ADAPTIVE_ATTENTION.replace(
    about="""Lu et al. 2017 on COCO, the network of the authors' Lua code, which is another
    one than the paper's: sentinel and image each go through layers of their own. Published:
    BLEU-4 33.2, CIDEr 108.5 (fine-tuned). Expect about 5,700 steps an epoch of 100 captions.""",
    model=AdaptiveAttentionConfig(variant="lua", embedding=512, attention=512),
    text=TextConfig(tokenizer="karpathy", min_count=6, max_length=18),
    train=TrainConfig(
        epochs=20,
        batch_size=100,
        optimiser=Adam(learning_rate=4e-4, betas=(0.8, 0.999)),
        clip_value=0.1,
        select_by="cider",
    ),
)

UP_DOWN = SHOW_TELL_FIRST_WORD.replace(
    about="""Anderson et al. 2018 on COCO, ruotianluo's sizes: an attention and a language LSTM.
    Published: paper BLEU-4 36.2, CIDEr 113.5; the port CIDEr 109.9 (cross-entropy, 36 boxes).
    Expect about 11,300 steps an epoch of 50 captions, 30 epochs; half a day on one GPU.""",
    model=UpDownConfig(),
    features=FeaturesConfig(backbone="timm:resnet101", size=448, resize="squash"),
    decode=RUOTIANLUO.replace(beam_size=5),
)

UP_DOWN_SELF_CRITICAL = UP_DOWN.replace(
    about="""Rennie et al. 2017 for the Up-Down captioner: what it draws is rewarded by
    CIDEr-D. Begin --from a run of `up-down`. Published, COCO: the paper of Up-Down CIDEr 120.1,
    BLEU-4 36.3; ruotianluo's port 122.7, or 123.9 with train.self_critical.baseline=others.
    Expect about 11,300 steps an epoch of 10 images, 20 epochs; a day on one GPU.""",
    train=TrainConfig(
        epochs=20,
        batch_size=10,
        optimiser=Adam(learning_rate=5e-5),
        clip_value=0.1,
        self_critical=SelfCritical(),
        select_by="cider",
    ),
)

ATT2IN = UP_DOWN.replace(
    about="""Rennie et al. 2017 on COCO, ruotianluo's `att2in2`: the attended region enters the
    LSTM's candidate. Published: paper CIDEr 101.3 (self-critical 111.4); the port 108.9 with
    bottom-up features (117.3). Expect about 11,300 steps an epoch of 50 captions, 30 epochs; half
    a day on one GPU. Then --from it --set train.self_critical=on, as up-down-self-critical.""",
    model=Att2inConfig(),
)

AOA = UP_DOWN.replace(
    about="""Huang et al. 2019 on COCO, the authors' sizes in ruotianluo's port, with scheduled
    sampling. Published: CIDEr 119.8, BLEU-4 37.2; self-critical 129.8, 38.9 (bottom-up features,
    label smoothing 0.2, which is not done here). Expect about 11,300 steps an epoch of 50 captions,
    25 epochs; a day on one GPU.""",
    model=AoaConfig(),
    train=UP_DOWN.train.replace(
        epochs=25,
        optimiser=Adam(learning_rate=2e-4),
        schedule=MultiStep(unit="epoch", milestones=tuple(range(3, 25, 3)), factor=0.8),
        scheduled_sampling=ScheduledSampling(max_prob=0.5),
    ),
)

TRANSFORMER = UP_DOWN.replace(
    about="""A pre-norm Transformer captioner on COCO as ruotianluo's self-critical.pytorch
    trains it. Published: CIDEr 112.6 (cross-entropy, bottom-up features).
    Expect about 11,300 steps an epoch of 50 captions, 15 epochs; a day on one GPU.""",
    model=TransformerConfig(),
    train=UP_DOWN.train.replace(
        epochs=15,
        # 512^-0.5 * 20000^-0.5, the highest rate of the published schedule
        optimiser=Adam(learning_rate=3.125e-4, betas=(0.9, 0.98), epsilon=1e-9),
        schedule=InverseSqrt(warmup_steps=20_000),
    ),
)


def _small(recipe: Recipe, title: str, epochs: int = 4, **model: float) -> Recipe:
    """The same system for the embedded Shapes world, small and quick."""
    return recipe.replace(
        about=f"A small {title} that learns Shapes in a minute.",
        model=MODELS[recipe.model.kind].small.replace(**model),
        features=SMALL_FEATURES,
        text=TextConfig(tokenizer="karpathy", min_count=1, max_length=50),
        train=TrainConfig(
            epochs=epochs,
            batch_size=64,
            samples_per_image=1,  # so small a batch learns more from many images than from few
            optimiser=Adam(learning_rate=3e-3),
            clip_value=5.0,
        ),
        decode=DecodeConfig(beam_size=3),
    )


# Few shapes on a plain ground: no reason to attend to every place equally.
SHOW_ATTEND_TELL_SMALL = _small(
    SHOW_ATTEND_TELL, "Show, Attend and Tell", dropout=0.0, doubly_stochastic=0.0
)

SHOW_ATTEND_TELL_FINE_TUNED_SMALL = SHOW_ATTEND_TELL_SMALL.replace(
    about="A small Show, Attend and Tell and its encoder, which learn Shapes in two minutes.",
    features=FeaturesConfig(backbone="pixels", size=96, resize="squash"),
    # From nothing: batch norm has no statistics worth keeping.
    encoder=EncoderConfig(
        backbone="timm:test_resnet",
        weights="random",
        options={"output_stride": 16},
        trains_from="0",
        batch_norm="trained",
    ),
    # An image's five captions together: the encoder runs once for all of them.
    train=SHOW_ATTEND_TELL_SMALL.train.replace(samples_per_image=None),
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


CAPTION_RECIPES: dict[str, Recipe] = {
    "show-tell": SHOW_TELL,
    "show-tell-first-word": SHOW_TELL_FIRST_WORD,
    "show-tell-im2txt": SHOW_TELL_IM2TXT,
    # One vector for the image: without a batch norm its few differences drown in what is common.
    "show-tell-small": _small(SHOW_TELL, "Show and Tell", 10, dropout=0.1, batch_norm=0.1),
    "show-attend-tell": SHOW_ATTEND_TELL,
    "show-attend-tell-small": SHOW_ATTEND_TELL_SMALL,
    "show-attend-tell-fine-tuned": SHOW_ATTEND_TELL_FINE_TUNED,
    "show-attend-tell-fine-tuned-small": SHOW_ATTEND_TELL_FINE_TUNED_SMALL,
    "adaptive-attention": ADAPTIVE_ATTENTION,
    "adaptive-attention-fine-tuned": ADAPTIVE_ATTENTION_FINE_TUNED,
    "adaptive-attention-lua": ADAPTIVE_ATTENTION_LUA,
    "adaptive-attention-small": _small(ADAPTIVE_ATTENTION, "Adaptive Attention"),
    "auto-caption": AUTO_CAPTION,
    "att2in": ATT2IN,
    "att2in-small": _small(ATT2IN, "Att2in captioner"),
    "up-down": UP_DOWN,
    "up-down-self-critical": UP_DOWN_SELF_CRITICAL,
    "up-down-small": _small(UP_DOWN, "Up-Down captioner"),
    "aoa": AOA,
    "aoa-small": _small(AOA, "AoANet captioner"),
    "transformer": TRANSFORMER,
    "transformer-small": _small(TRANSFORMER, "Transformer captioner"),
}
