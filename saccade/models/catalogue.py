"""Every model: its config and one line of the table each, without torch.

A new model is a file in this folder and, here, its config and a line; another package adds a line
by an entry point in the group `saccade.models` that names an `Entry`. What stands in the table is
tested from then on: `tests/test_every_model.py` runs over it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from saccade.core.formatting import number, pairs
from saccade.core.settings import Settings
from saccade.core.tables import Table, load_object
from saccade.core.tasks import TaskName

if TYPE_CHECKING:
    from torch import nn

    from saccade.data.batch import Sizes


Cell = Literal["lstm", "gru", "rnn"]
"""Recurrent cell of a captioner's decoder; the papers' is the LSTM."""


class ModelConfig(Settings):
    """Base of every model's config; `kind` is the model's name in `MODELS`."""

    kind: str = ""
    whole_sentence_losses: ClassVar[tuple[str, ...]] = ()
    """Fields that weigh a loss over a whole sentence's attention. They must be 0 where captions
    are generated word by word while training (scheduled sampling, self-critical)."""


class IBowImgConfig(ModelConfig):
    """The released sizes: E V + (E + D) A parameters, with D = 1024 for GoogLeNet."""

    kind: Literal["ibowimg"] = "ibowimg"
    embedding: int = Field(1024, ge=1)
    """Width of the vector that the words of a question add up to."""
    inputs: Literal["both", "question", "image"] = "both"
    """The released blind variants: BOW takes the question only, IMG the image only."""


class LstmCnnConfig(ModelConfig):
    """The paper's sizes: 10,882,224 + 200 V parameters for VGG's 4096 numbers, 1000 answers."""

    kind: Literal["lstm_cnn"] = "lstm_cnn"
    form: Literal["paper", "basic_vqa"] = "paper"
    """Places of tanh, scaling, biases and dropout; order of the LSTM's states in its encoding."""
    embedding: int = Field(200, ge=1)
    """Width of a word vector; 300 in basic_vqa."""
    hidden: int = Field(512, ge=1)
    layers: int = Field(2, ge=1)
    """LSTM layers; the paper's smaller "LSTM Q" has one."""
    common: int = Field(1024, ge=1)
    """Width in which question and image meet."""
    fusion: Literal["product", "concat"] = "product"
    normalise: bool = True
    """Scale the image's vector to length 1 ("norm I")."""
    padded_to: int | None = Field(None, ge=1)
    """Also read padding, up to this many words, as basic_vqa does (30); none stops at the
    question's last word."""
    dropout: float = Field(0.5, ge=0, lt=1)


class SanConfig(ModelConfig):
    """The sizes of SAN(2, CNN), the better of the paper's two."""

    kind: Literal["san"] = "san"
    reader: Literal["convolution", "released_lstm", "lstm"] = "convolution"
    embedding: int = Field(500, ge=1)
    """Width of a word vector."""
    filters: tuple[int, int, int] = (256, 512, 512)
    """Convolution filters over single words, pairs and triples; H is their sum."""
    hidden: int = Field(1024, ge=1)
    """H with an LSTM."""
    attention_width: int = Field(512, ge=1)
    """Width of the layer in which question and region meet."""
    hops: int = Field(2, ge=1)
    """Attention layers."""
    attention: Literal["paper", "released"] = "paper"
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Before the attention scores; 0.5 in the course port."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Before the answer."""

    @model_validator(mode="after")
    def _released_drops_nothing(self) -> Self:
        if self.attention == "released" and self.attention_dropout:
            raise ValueError("attention_dropout belongs to attention=paper: set it to 0")
        return self


class ShowAskAttendAnswerConfig(ModelConfig):
    """The paper's sizes (section 3)."""

    kind: Literal["show_ask_attend_answer"] = "show_ask_attend_answer"
    embedding: int = Field(300, ge=1)
    """Width of a word vector."""
    question: int = Field(1024, ge=1)
    """Width of the LSTM that reads the question."""
    attention: int = Field(512, ge=1)
    """Width of the layer in which question and region meet."""
    glimpses: int = Field(2, ge=1)
    hidden: int = Field(1024, ge=1)
    """Width of the classifier's hidden layer."""
    dropout: float = Field(0.5, ge=0, lt=1)


class JointEmbeddingConfig(ModelConfig):
    """hengyuan-hu's sizes: 24,851,177 parameters for 19,901 words and 3,129 answers."""

    kind: Literal["joint_embedding"] = "joint_embedding"
    form: Literal["newatt", "baseline0", "openvqa"] = "newatt"
    """Attention by product, by one layer over both, or over projections of both; `openvqa` also
    uses ELU for ReLU and pads questions behind, with a learnt word, not in front with zeros."""
    reader: Literal["gru", "lstm"] = "gru"
    embedding: int = Field(300, ge=1)
    """Width of a word vector."""
    question: int = Field(1024, ge=1)
    """Width of the reader, in each direction."""
    layers: int = Field(1, ge=1)
    bidirectional: bool = False
    padded_to: int | None = Field(14, ge=1)
    """Words of every question, padding included; none reads the real words only."""
    hidden: int = Field(1024, ge=1)
    """Width in which question and region meet, and later question and attended region."""
    weight_norm: bool = True
    classifier: int = Field(2048, ge=1)
    regions_padded_to: int | None = Field(None, ge=1)
    """Attend also to rows of zeros, as if every image had so many regions, as openvqa's BUTD does
    (100); none attends to the regions alone."""
    attention_dropout: float = Field(0.2, ge=0, lt=1)
    """On the product, or on the inputs of the layer over both."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Before the answer."""


class McanConfig(ModelConfig):
    """MCAN-small: 57,812,791 parameters for 20,573 words and 3,129 answers."""

    kind: Literal["mcan"] = "mcan"
    embedding: int = Field(300, ge=1)
    """Width of a word vector."""
    hidden: int = Field(512, ge=1)
    """Width of every word and region inside; 1024 in MCAN-large."""
    heads: int = Field(8, ge=1)
    layers: int = Field(6, ge=1)
    feed_forward: int = Field(2048, ge=1)
    """4096 in MCAN-large."""
    summary: int = Field(512, ge=1)
    """Hidden width of the network that weighs words and regions at the end."""
    glimpses: int = Field(1, ge=1)
    joint: int = Field(1024, ge=1)
    """Width in which words and regions are added; 2048 in MCAN-large."""
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} cannot be shared by heads={self.heads}")
        return self


class ProductOfExpertsConfig(ModelConfig):
    """The sizes of `auto-vqa` for some thousands of questions."""

    kind: Literal["product_of_experts"] = "product_of_experts"
    embedding: int = Field(128, ge=1)
    """Width of the vector of a word, of a pair of words, and of a question."""
    slots: int = Field(8192, ge=2)
    """Rows of the table of pairs and questions, which share them by chance where there are more."""
    attention: int = Field(128, ge=1)
    """Width of the layer in which question and region meet."""
    hidden: int = Field(256, ge=1)
    """Width of the layer in which question and image meet."""
    prior_dropout: float = Field(0.3, ge=0, lt=1)
    """Before the prior's answer."""
    image_dropout: float = Field(0.3, ge=0, lt=1)
    """Of the image's vector."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Before the other expert's answer."""
    prior: Literal["product", "rubi", "lmh"] = "product"
    """How the prior takes part: its scores are added, always; or while training alone, as a mask of
    the image's scores (RUBi), or added with a learned weight (LMH)."""
    entropy_weight: float = Field(0.36, ge=0)
    """Of the entropy of the weighted prior in the loss of `lmh`; Clark et al. 2019 for VQA-CP."""


class PitVqaConfig(ModelConfig):
    """The released sizes: 277,540,923 parameters for PitVQA's 59 answers, and the ViT's."""

    kind: Literal["pitvqa"] = "pitvqa"
    mode: Literal["faithful", "fixed"] = "faithful"
    width: int = Field(768, ge=1)
    feed_forward: int = Field(3072, ge=1)
    text_layers: int = Field(12, ge=1)
    text_heads: int = Field(12, ge=1)
    """Attention heads of BLIP's text encoder."""
    language_layers: int = Field(12, ge=1)
    language_heads: int = Field(12, ge=1)
    """Attention heads of GPT-2."""
    max_length: int = Field(30, ge=1, le=512)
    """Words; longer questions are cut off, and `faithful` also pads shorter ones to it."""
    hidden: int = Field(512, ge=1)
    """Width of the gated layer before the answers."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Before the answers. BLIP's encoder has none."""
    language_dropout: float = Field(0.1, ge=0, lt=1)
    """In GPT-2, which is trained with its own."""
    text_weights: str | None = None
    """Folder (also one in SACCADE_WEIGHTS) or hub name of a BLIP text encoder to start from; none:
    random, as released."""
    language_weights: str | None = None
    """Folder or hub name of a GPT-2; the released code starts from "gpt2"."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        for field in ("text_heads", "language_heads"):
            if self.width % (heads := getattr(self, field)):
                raise ValueError(f"width={self.width} cannot be shared by {field}={heads}")
        return self


class ShowTellConfig(ModelConfig):
    """The course form; 217,350,930 parameters for COCO's 9,490 words, 12,878,610 with `mean`."""

    kind: Literal["show_tell"] = "show_tell"
    embedding: int = Field(512, ge=1)
    """Width of a word vector, and so of the image vector that comes before the words."""
    hidden: int = Field(512, ge=1)
    """Width of the LSTM."""
    init_pool: Literal["flatten", "mean"] = "flatten"
    """First input of the LSTM: all cells, each with its own weights, or the mean cell."""
    pool_size: int | None = Field(14, ge=1)
    """Pool a grid to pool_size x pool_size cells, as public codes do; none leaves it as it is."""
    image_bias: bool = True
    batch_norm: float | None = Field(0.1, gt=0, le=1)
    """Momentum of the batch norm on the projected image; none leaves it out."""
    cell: Cell | Literal["maxout"] = "lstm"
    cell_bias: bool = True
    input_dropout: float = Field(0.0, ge=0, lt=1)
    """On the LSTM's inputs, image and words; 0.3 in im2txt."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """On the LSTM's output, before the vocabulary layer."""
    init: Literal["words", "everything", "torch"] = "words"
    """First weights: words and vocabulary layer within 0.1 of zero; or everything within 0.08 and
    an open forget gate (im2txt); or as torch makes them."""


class ShowAttendTellConfig(ModelConfig):
    """The sizes of the PyTorch form; 20,483,859 parameters for COCO's 9,490 words."""

    kind: Literal["show_attend_tell"] = "show_attend_tell"
    whole_sentence_losses = ("doubly_stochastic",)
    embedding: int = Field(512, ge=1)
    """Width of a word vector."""
    hidden: int = Field(512, ge=1)
    """Width of the LSTM."""
    cell: Cell = "lstm"
    attention: int = Field(512, ge=1)
    """Width of the layer in which state and region meet."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """On the LSTM's output, before the vocabulary layer."""
    doubly_stochastic: float = Field(1.0, ge=0)
    """Weight of the penalty on regions whose attention over all words is not 1 in sum."""
    gate: Literal["vector", "scalar"] = "vector"
    """On the attended region: a sigmoid gate for each number, or one factor without sigmoid (a
    course copy's)."""
    pool_size: int | None = Field(14, ge=1)
    """Pool a grid to pool_size x pool_size cells, as public codes do; none leaves it as it is."""


class AdaptiveAttentionConfig(ModelConfig):
    """The port's sizes, 11,569,984 parameters for 9,487 words; `lua` wants 512 everywhere."""

    kind: Literal["adaptive_attention"] = "adaptive_attention"
    variant: Literal["paper", "lua"] = "paper"
    embedding: int = Field(256, ge=1)
    """Width of a word vector; in `paper` also of the mean region that is its second input."""
    hidden: int = Field(512, ge=1)
    """Width of the LSTM, and of a region as it is attended to."""
    attention: int = Field(49, ge=1)
    """Width of the layer in which state and region meet; the paper's k."""
    cell: Literal["lstm", "maxout"] = "lstm"
    """`maxout` is ruotianluo's `adaattmo`."""
    region_norm: bool = False
    """Batch norm on the projected regions, behind their dropout (ruotianluo's `use_bn=2`)."""
    dropout: float = Field(0.5, ge=0, lt=1)


class UpDownConfig(ModelConfig):
    """The port's sizes; 52,125,025 parameters for COCO's 9,487 words."""

    kind: Literal["up_down"] = "up_down"
    embedding: int = Field(1000, ge=1)
    """Width of a word vector."""
    hidden: int = Field(1000, ge=1)
    """Width of both LSTMs, and of a region as it is attended to."""
    cell: Cell = "lstm"
    """Of both."""
    attention: int = Field(512, ge=1)
    """Width of the layer in which state and region meet."""
    region_norm: bool = False
    """Batch norm on the projected regions, behind their dropout (ruotianluo's `use_bn=2`)."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """On words, regions and mean region behind their ReLU, and before the vocabulary layer."""


class Att2inConfig(ModelConfig):
    """The port's sizes; 14,451,985 parameters for COCO's 9,487 words."""

    kind: Literal["att2in"] = "att2in"
    embedding: int = Field(512, ge=1)
    """Width of a word vector."""
    hidden: int = Field(512, ge=1)
    """Width of the LSTM, and of a region as it is attended to."""
    attention: int = Field(512, ge=1)
    """Width of the layer in which state and region meet."""
    region_norm: bool = False
    """Batch norm on the projected regions, behind their dropout (ruotianluo's `use_bn=2`)."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """On words and regions behind their ReLU, and before the vocabulary layer."""


class AoaConfig(ModelConfig):
    """The authors' sizes; 85,562,640 parameters for COCO's 9,487 words."""

    kind: Literal["aoa"] = "aoa"
    embedding: int = Field(1024, ge=1)
    """Width of a word vector."""
    hidden: int = Field(1024, ge=1)
    """Width of the LSTM, and of a region as it is refined and attended to."""
    cell: Cell = "lstm"
    heads: int = Field(8, ge=1)
    layers: int = Field(6, ge=1)
    """Layers of self-attention that refine the regions."""
    region_norm: bool = False
    """Batch norm on the projected regions, behind their dropout (ruotianluo's `use_bn=2`)."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """On words and regions behind their ReLU, the last context, and before the vocabulary layer."""
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    """On attention, and on what a refining layer adds."""
    gate_dropout: float = Field(0.3, ge=0, lt=1)
    """Before a refining layer's gate."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} cannot be shared by heads={self.heads}")
        return self


class TransformerConfig(ModelConfig):
    """The port's sizes; 54,914,832 parameters for COCO's 9,487 words."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(512, ge=2, multiple_of=2)
    feed_forward: int = Field(2048, ge=1)
    heads: int = Field(8, ge=1)
    encoder_layers: int = Field(6, ge=1)
    decoder_layers: int = Field(6, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    """On every block's result, within feed-forward layers, and on attention."""
    region_dropout: float = Field(0.5, ge=0, lt=1)
    """On the projected regions, before the encoder."""
    region_norm: bool = False
    """Batch norm on the projected regions, behind their dropout (ruotianluo's `use_bn=2`)."""

    @model_validator(mode="after")
    def _equal_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError("heads must divide width")
        return self


class EncoderConfig(Settings):
    """A network that encodes images while the model is trained, and what of it is trained."""

    backbone: str = Field(pattern=r"^(timm|transformers):.+")
    """As for `saccade extract`: `timm:` or `transformers:`, and a name."""
    options: dict[str, str | int | float | bool] = Field({})
    """Passed to the library; from a command line as `NAME=VALUE,NAME=VALUE`."""
    weights: str = "hub"
    """Initial weights: `hub`, `random`, or a file."""
    trains_from: str | None = Field(None, coerce_numbers_to_str=True)
    """The first stage that is trained, by the beginning of its weights' names (`layer2`) or by
    number (0 is the stem); none trains nothing of the network."""
    learning_rate: float | None = Field(None, gt=0)
    """The encoder's, with the same schedule; none takes the optimiser's."""
    first_epoch: int = Field(0, ge=0)
    """Epochs are counted from 0; before this one the encoder is not trained."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Whether batch norm uses its stored statistics, or those of the batch once the encoder is
    trained, as the public codes do. Its weights are trained like others of their stage."""
    checkpointing: bool = False
    """Activation checkpointing: activations are computed again for the gradient; less memory, more
    time."""
    channels_last: bool = True
    """Memory layout of images: this one is the fastest for convolutions; the numbers are equal."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_name(cls, given: Any) -> Any:
        return {"backbone": given} if isinstance(given, str) else given

    @field_validator("options", mode="before")
    @classmethod
    def _from_words(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        return {name: number(value) for name, value in pairs(given.split(",")).items()}

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.checkpointing and self.batch_norm == "trained":
            raise ValueError("checkpointing would count every batch twice: set batch_norm=frozen")
        return self


class Entry(NamedTuple):
    """One model."""

    model: str
    """`module:Class`, imported when a model is built: this file imports no torch."""
    config: type[ModelConfig]
    small_sizes: Mapping[str, Any]
    """Fields of the config with which it learns in seconds on a CPU."""
    task: TaskName
    title: str
    paper: str
    published: str
    """The score that the paper or the official leaderboard gives, and on what; empty, as `paper`,
    where a model reproduces nothing."""

    @property
    def small(self) -> ModelConfig:
        """The config for tests and the embedded Shapes world."""
        return self.config(**self.small_sizes)


_MODELS = {
    "ibowimg": Entry(
        "saccade.models.ibowimg:IBowImg",
        IBowImgConfig,
        {"embedding": 64},
        "vqa",
        "iBOWIMG (bag of words and an image vector)",
        "Zhou et al. 2015, arXiv:1512.02167",
        "VQA v1 test-standard 55.9",
    ),
    "lstm_cnn": Entry(
        "saccade.models.lstm_cnn:LstmCnn",
        LstmCnnConfig,
        {"embedding": 64, "hidden": 64, "common": 128},
        "vqa",
        "deeper LSTM Q + norm I",
        "Antol et al. 2015, arXiv:1505.00468",
        "VQA v1 test-standard 58.2",
    ),
    "san": Entry(
        "saccade.models.san:San",
        SanConfig,
        {"embedding": 64, "filters": (32, 48, 48), "attention_width": 64},
        "vqa",
        "Stacked attention networks",
        "Yang et al. 2016, arXiv:1511.02274",
        "VQA v1 test-standard 58.9",
    ),
    "show_ask_attend_answer": Entry(
        "saccade.models.show_ask_attend_answer:ShowAskAttendAnswer",
        ShowAskAttendAnswerConfig,
        {"embedding": 64, "question": 128, "attention": 64, "hidden": 128},
        "vqa",
        "Show, Ask, Attend, and Answer",
        "Kazemi & Elqursh 2017, arXiv:1704.03162",
        "VQA v1 test-standard 64.6",
    ),
    "joint_embedding": Entry(
        "saccade.models.joint_embedding:JointEmbedding",
        JointEmbeddingConfig,
        {"embedding": 64, "question": 128, "hidden": 128, "classifier": 256},
        "vqa",
        "Joint embedding with top-down attention",
        "Anderson et al. 2018, arXiv:1707.07998",
        "VQA v2 validation 63.2 (63.6 by the public code's own metric)",
    ),
    "mcan": Entry(
        "saccade.models.mcan:Mcan",
        McanConfig,
        {
            "embedding": 64,
            "hidden": 64,
            "heads": 4,
            "layers": 2,
            "feed_forward": 128,
            "summary": 64,
            "joint": 128,
        },
        "vqa",
        "MCAN (modular co-attention, small)",
        "Yu et al. 2019, arXiv:1906.10770",
        "VQA v2 validation 67.2, test-dev 70.3",
    ),
    "product_of_experts": Entry(
        "saccade.models.product_of_experts:ProductOfExperts",
        ProductOfExpertsConfig,
        {"embedding": 64, "slots": 512, "attention": 32, "hidden": 64},
        "vqa",
        "Product of a question's expert and an image's",
        "Hinton 2002; Clark et al. 2019, arXiv:1909.03683",
        "no score of this form",
    ),
    "pitvqa": Entry(
        "saccade.models.pitvqa:PitVqa",
        PitVqaConfig,
        {
            "mode": "fixed",
            "width": 64,
            "feed_forward": 128,
            "text_layers": 2,
            "text_heads": 4,
            "language_layers": 1,
            "language_heads": 4,
            "hidden": 64,
            "dropout": 0,
            "language_dropout": 0,
        },
        "vqa",
        "PitVQA-Net (surgical scenes)",
        "He et al. 2024, arXiv:2405.13949",
        "PitVQA validation 76.0 (balanced 56.7)",
    ),
    "show_tell": Entry(
        "saccade.models.show_tell:ShowTell",
        ShowTellConfig,
        {
            "embedding": 64,
            "hidden": 128,
            "init_pool": "mean",
            "pool_size": None,
            "batch_norm": None,
        },
        "caption",
        "Show and Tell",
        "Vinyals et al. 2015, arXiv:1411.4555",
        "COCO BLEU-4 27.7",
    ),
    "show_attend_tell": Entry(
        "saccade.models.show_attend_tell:ShowAttendTell",
        ShowAttendTellConfig,
        {"embedding": 64, "hidden": 128, "attention": 64, "pool_size": None},
        "caption",
        "Show, Attend and Tell (soft attention)",
        "Xu et al. 2015, arXiv:1502.03044",
        "COCO test BLEU-4 24.3",
    ),
    "adaptive_attention": Entry(
        "saccade.models.adaptive_attention:AdaptiveAttention",
        AdaptiveAttentionConfig,
        {"embedding": 64, "hidden": 128, "attention": 32, "dropout": 0.1},
        "caption",
        "Adaptive Attention with a visual sentinel",
        "Lu et al. 2017, arXiv:1612.01887",
        "COCO BLEU-4 33.2, CIDEr 108.5",
    ),
    "att2in": Entry(
        "saccade.models.att2in:Att2in",
        Att2inConfig,
        {"embedding": 64, "hidden": 128, "attention": 64, "dropout": 0.1},
        "caption",
        "Att2in (self-critical sequence training)",
        "Rennie et al. 2017, arXiv:1612.00563",
        "COCO test CIDEr 101.3, self-critical 111.4",
    ),
    "up_down": Entry(
        "saccade.models.up_down:UpDown",
        UpDownConfig,
        {"embedding": 64, "hidden": 128, "attention": 64, "dropout": 0.1},
        "caption",
        "Up-Down captioner",
        "Anderson et al. 2018, arXiv:1707.07998",
        "COCO test BLEU-4 36.2, CIDEr 113.5",
    ),
    "aoa": Entry(
        "saccade.models.aoa:Aoa",
        AoaConfig,
        {
            "embedding": 64,
            "hidden": 64,
            "heads": 4,
            "layers": 2,
            "dropout": 0.1,
            "attention_dropout": 0,
            "gate_dropout": 0,
        },
        "caption",
        "AoANet (attention on attention)",
        "Huang et al. 2019, arXiv:1908.06954",
        "COCO test CIDEr 119.8, self-critical 129.8",
    ),
    "transformer": Entry(
        "saccade.models.transformer:Transformer",
        TransformerConfig,
        {
            "width": 64,
            "feed_forward": 128,
            "heads": 4,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "region_dropout": 0.1,
        },
        "caption",
        "Transformer captioner",
        "Vaswani et al. 2017, arXiv:1706.03762",
        "COCO CIDEr 112.6 (ruotianluo's port, cross-entropy)",
    ),
}


def _check(line: Any) -> None:
    if not isinstance(line, Entry):
        raise TypeError(f"an Entry of saccade.models.catalogue was expected, not {line!r}")


MODELS: Table[Entry] = Table("model", _MODELS, group="saccade.models", check=_check)


def build_model(config: ModelConfig, sizes: "Sizes") -> "nn.Module":
    """The model that a config belongs to, with fresh weights."""
    model: nn.Module = load_object(MODELS.look_up(config.kind).model)(config, sizes)
    return model
