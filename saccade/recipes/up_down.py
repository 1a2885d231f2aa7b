"""Recipes of Up-Down, and of what is trained as it is: Att2in, AoANet, the Transformer."""

from saccade.config import (
    Adam,
    FeaturesConfig,
    InverseSqrt,
    MultiStep,
    ScheduledSampling,
    SelfCritical,
    TrainConfig,
)
from saccade.models.catalogue import AoaConfig, Att2inConfig, TransformerConfig, UpDownConfig
from saccade.recipes.shapes import small_captioner
from saccade.recipes.show_tell import RUOTIANLUO, SHOW_TELL_FIRST_WORD

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

UP_DOWN_SMALL = small_captioner(UP_DOWN, "Up-Down captioner")

ATT2IN_SMALL = small_captioner(ATT2IN, "Att2in captioner")

AOA_SMALL = small_captioner(AOA, "AoANet captioner")

TRANSFORMER_SMALL = small_captioner(TRANSFORMER, "Transformer captioner")
