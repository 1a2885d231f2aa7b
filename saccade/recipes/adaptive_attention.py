"""Recipes of Adaptive Attention."""

from saccade.config import Adam, DecodeConfig, FeaturesConfig, Recipe, TextConfig, TrainConfig
from saccade.models.catalogue import AdaptiveAttentionConfig, EncoderConfig
from saccade.recipes.shapes import small_captioner

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

SMALL = small_captioner(ADAPTIVE_ATTENTION, "Adaptive Attention")
