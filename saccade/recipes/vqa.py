"""The experiments of the VQA systems that have a name, as their papers' public codes run them."""

from saccade.config import (
    Adam,
    Adamax,
    AdamW,
    AnswersConfig,
    Cosine,
    Exponential,
    FeaturesConfig,
    MultiStep,
    Recipe,
    RmsProp,
    Sgd,
    SgdW,
    TextConfig,
    TrainConfig,
    WeightRule,
)
from saccade.models.catalogue import (
    MODELS,
    EncoderConfig,
    IBowImgConfig,
    JointEmbeddingConfig,
    LstmCnnConfig,
    McanConfig,
    PitVqaConfig,
    ProductOfExpertsConfig,
    SanConfig,
)

SMALL_FEATURES = FeaturesConfig(backbone="timm:resnet18", size=224, resize="squash")
"""Of the small recipes: a network for photos, quick on a CPU. Shapes are so plain that a network
with random weights does for them, which the demonstration and the tutorial name themselves."""

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

SCORES = AnswersConfig(
    size=None,
    normaliser="official",
    count="best_answers",
    min_count=9,
    target="scores",
    loss="logistic",
)

JOINT_EMBEDDING = Recipe(
    about="""Bottom-up top-down attention (Anderson et al. 2018) on VQA v2, as hengyuan-hu's code
    trains it. Published: validation 63.15 (paper), 63.58 (that code, own metric; its answer list
    allows at most 92.66). It attends to 36 detected boxes: import them, or use any grid; word
    embeddings begin with GloVe, if you have it: text.vectors=glove.6B.300d.txt. Expect about 870
    steps an epoch, 30 epochs; an hour or two on one GPU. Validation near 45 means that the image
    does not reach the model.""",
    model=JointEmbeddingConfig(),
    features=FeaturesConfig(backbone="timm:resnet101", size=448, resize="squash"),
    text=TextConfig(tokenizer="bottom_up", max_length=14, vectors_missing="zero"),
    answers=SCORES,
    train=TrainConfig(
        epochs=30, batch_size=512, optimiser=Adamax(learning_rate=2e-3), clip_norm=0.25, seed=1111
    ),
)

JOINT_EMBEDDING_CONCAT = JOINT_EMBEDDING.replace(
    about="""hengyuan-hu's `baseline0`: attention by one layer over region and question side
    by side. Published: about 62.8 on VQA v2 validation, 0.8 below the product.
    Expect about 870 steps an epoch, 30 epochs.""",
    model=JointEmbeddingConfig(form="baseline0", attention_dropout=0),
)

JOINT_EMBEDDING_OPENVQA = JOINT_EMBEDDING.replace(
    about="""openvqa's BUTD on VQA v2: LSTM, ELU, projected attention, loss added up, three
    epochs of warm-up. Published: validation 63.84, test-dev 66.98 (with Visual Genome).
    Expect about 870 steps an epoch, 13 epochs.""",
    model=JointEmbeddingConfig(form="openvqa", reader="lstm"),
    text=TextConfig(tokenizer="openvqa", max_length=14, unk_token=True, vectors_missing="zero"),
    answers=SCORES.replace(summed=True),
    train=TrainConfig(
        epochs=13,
        batch_size=512,
        optimiser=Adamax(learning_rate=2e-3, epsilon=1e-9),
        schedule=MultiStep(
            unit="epoch", warmup_steps=3, warmup_factor=0.25, milestones=(10, 12), factor=0.2
        ),
        clip_norm=0.25,
    ),
)

JOINT_EMBEDDING_PYTHIA = JOINT_EMBEDDING.replace(
    about="""Joint embedding with Pythia's warm-up and steps (12,000 of 512 questions), which
    a write-up's code builds but forgets to attach; answers.loss=softmax is its other loss.
    Published: no score of that code. Expect about 870 steps an epoch, 14 epochs.""",
    train=TrainConfig(
        epochs=14,
        batch_size=512,
        optimiser=Adamax(learning_rate=0.01),
        schedule=MultiStep(
            unit="step",
            warmup_steps=1000,
            warmup_factor=0.2,
            milestones=(5000, 7000, 9000, 11_000),
            factor=0.1,
        ),
        clip_norm=0.25,
    ),
)

MCAN_SMALL = JOINT_EMBEDDING_OPENVQA.replace(
    about="""Yu et al. 2019, MCAN-small on VQA v2 as openvqa trains it. Published: validation
    67.17 (yes/no 84.8, number 49.3, other 58.5), test-dev 70.33; on 10 to 100 detected boxes, with
    word vectors from outside. Expect about 6,900 steps an epoch, 13 epochs; a day on one GPU.""",
    model=McanConfig(),
    train=JOINT_EMBEDDING_OPENVQA.train.replace(
        batch_size=64,
        optimiser=Adam(learning_rate=1e-4, betas=(0.9, 0.98), epsilon=1e-9),
        clip_norm=None,
    ),
)


def small(
    recipe: Recipe,
    title: str,
    *,
    learning_rate: float = 3e-3,
    epochs: int = 20,
    time: str = "a minute",
) -> Recipe:
    """The same recipe for the embedded Shapes world: its own model and loss, small and quick."""
    answers, optimiser = recipe.answers, Adam(learning_rate=learning_rate)
    assert answers is not None  # a VQA recipe cannot be built without
    return recipe.replace(
        about=f"A small {title} that learns Shapes in {time} on one core.",
        model=MODELS[recipe.model.kind].small,
        features=SMALL_FEATURES,
        text=recipe.text.replace(min_count=1),
        answers=answers.replace(min_count=1, summed=False),
        train=TrainConfig(epochs=epochs, batch_size=64, optimiser=optimiser),
    )


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


VQA_RECIPES: dict[str, Recipe] = {
    "ibowimg": IBOWIMG,
    "ibowimg-small": small(IBOWIMG, "iBOWIMG"),
    "lstm-cnn": LSTM_CNN,
    "lstm-cnn-small": small(LSTM_CNN, "deeper LSTM Q + norm I"),
    "basic-vqa": BASIC_VQA,
    "san-cnn": SAN_CNN,
    "san-lstm": SAN_LSTM,
    "san-course": SAN_COURSE,
    "san-small": small(SAN_CNN, "stacked attention network"),
    "joint-embedding": JOINT_EMBEDDING,
    "joint-embedding-concat": JOINT_EMBEDDING_CONCAT,
    "joint-embedding-openvqa": JOINT_EMBEDDING_OPENVQA,
    "joint-embedding-pythia": JOINT_EMBEDDING_PYTHIA,
    "joint-embedding-small": small(JOINT_EMBEDDING, "joint embedding"),
    "mcan": MCAN_SMALL,
    "auto-vqa": AUTO_VQA,
    "mcan-small": small(MCAN_SMALL, "MCAN", learning_rate=1e-3, epochs=16, time="five minutes"),
}


# The experiments of surgical VQA that have a name.

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

SURGICAL_RECIPES: dict[str, Recipe] = {
    "pitvqa": PITVQA,
    "pitvqa-fixed": PITVQA_FIXED,
    "pitvqa-small": small(
        PITVQA.replace(text=TextConfig(tokenizer="karpathy", max_length=30), encoder=None),
        "PitVQA-Net",
        learning_rate=1e-3,
    ),
}
