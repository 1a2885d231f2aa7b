"""Recipes of the joint embedding with bottom-up attention, one for each public code."""

from saccade.config import (
    Adamax,
    AnswersConfig,
    FeaturesConfig,
    MultiStep,
    Recipe,
    TextConfig,
    TrainConfig,
)
from saccade.models.catalogue import JointEmbeddingConfig
from saccade.recipes.shapes import small_vqa

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

SMALL = small_vqa(JOINT_EMBEDDING, "joint embedding")
