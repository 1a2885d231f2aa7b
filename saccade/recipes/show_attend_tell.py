"""Recipes of Show, Attend and Tell."""

from saccade.config import (
    Adam,
    DecodeConfig,
    FeaturesConfig,
    Recipe,
    ReduceOnPlateau,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import EncoderConfig, ShowAttendTellConfig
from saccade.recipes.shapes import small_captioner

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

# Few shapes on a plain ground: no reason to attend to every place equally.
SMALL = small_captioner(
    SHOW_ATTEND_TELL, "Show, Attend and Tell", dropout=0.0, doubly_stochastic=0.0
)

FINE_TUNED_SMALL = SMALL.replace(
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
    train=SMALL.train.replace(samples_per_image=None),
)
