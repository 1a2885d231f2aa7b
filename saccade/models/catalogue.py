"""Every model saccade has: one line each. A new model is a file in this folder and a line here.

What stands here is tested the moment it is written: `tests/test_every_model.py` runs over it.
"""

from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from torch import nn

from saccade.core.errors import BadConfig
from saccade.data.batch import Sizes
from saccade.models.adaptive_attention import AdaptiveAttention, AdaptiveAttentionConfig
from saccade.models.ibowimg import IBowImg, IBowImgConfig
from saccade.models.joint_embedding import JointEmbedding, JointEmbeddingConfig
from saccade.models.lstm_cnn import LstmCnn, LstmCnnConfig
from saccade.models.mcan import Mcan, McanConfig
from saccade.models.pitvqa import PitVqa, PitVqaConfig
from saccade.models.san import San, SanConfig
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswer, ShowAskAttendAnswerConfig
from saccade.models.show_attend_tell import ShowAttendTell, ShowAttendTellConfig
from saccade.models.show_tell import ShowTell, ShowTellConfig
from saccade.models.transformer import Transformer, TransformerConfig
from saccade.models.up_down import UpDown, UpDownConfig


class Entry(NamedTuple):
    """One model."""

    model: type[nn.Module]
    config: type[BaseModel]
    small: BaseModel
    """Learns in seconds on a CPU: for tests and the embedded Shapes world."""
    task: Literal["vqa", "caption"]
    title: str
    paper: str
    published: str
    """The score that the paper or the official leaderboard gives, and on what."""


MODELS: dict[str, Entry] = {
    "ibowimg": Entry(
        IBowImg,
        IBowImgConfig,
        IBowImgConfig(embedding=64),
        "vqa",
        "iBOWIMG (bag of words and an image vector)",
        "Zhou et al. 2015, arXiv:1512.02167",
        "VQA v1 test-standard 55.9",
    ),
    "lstm_cnn": Entry(
        LstmCnn,
        LstmCnnConfig,
        LstmCnnConfig(embedding=64, hidden=64, common=128),
        "vqa",
        "deeper LSTM Q + norm I",
        "Antol et al. 2015, arXiv:1505.00468",
        "VQA v1 test-standard 58.2",
    ),
    "san": Entry(
        San,
        SanConfig,
        SanConfig(embedding=64, filters=(32, 48, 48), attention_width=64),
        "vqa",
        "Stacked attention networks",
        "Yang et al. 2016, arXiv:1511.02274",
        "VQA v1 test-standard 58.9",
    ),
    "show_ask_attend_answer": Entry(
        ShowAskAttendAnswer,
        ShowAskAttendAnswerConfig,
        ShowAskAttendAnswerConfig(embedding=64, question=128, attention=64, hidden=128),
        "vqa",
        "Show, Ask, Attend, and Answer",
        "Kazemi & Elqursh 2017, arXiv:1704.03162",
        "VQA v1 test-standard 64.6",
    ),
    "joint_embedding": Entry(
        JointEmbedding,
        JointEmbeddingConfig,
        JointEmbeddingConfig(embedding=64, question=128, hidden=128, classifier=256),
        "vqa",
        "Joint embedding with top-down attention",
        "Anderson et al. 2018, arXiv:1707.07998",
        "VQA v2 validation 63.2 (63.6 by the public code's own metric)",
    ),
    "mcan": Entry(
        Mcan,
        McanConfig,
        McanConfig(
            embedding=64, hidden=64, heads=4, layers=2, feed_forward=128, summary=64, joint=128
        ),
        "vqa",
        "MCAN (modular co-attention, small)",
        "Yu et al. 2019, arXiv:1906.10770",
        "VQA v2 validation 67.2, test-dev 70.3",
    ),
    "pitvqa": Entry(
        PitVqa,
        PitVqaConfig,
        PitVqaConfig(
            mode="fixed",
            width=64,
            heads=4,
            feed_forward=128,
            text_layers=2,
            language_layers=1,
            hidden=64,
            dropout=0,
            language_dropout=0,
        ),
        "vqa",
        "PitVQA-Net (surgical scenes)",
        "He et al. 2024, arXiv:2405.13949",
        "PitVQA validation 76.0 (balanced 56.7)",
    ),
    "show_tell": Entry(
        ShowTell,
        ShowTellConfig,
        ShowTellConfig(embedding=64, hidden=128, init_pool="mean", view=None, batch_norm=None),
        "caption",
        "Show and Tell",
        "Vinyals et al. 2015, arXiv:1411.4555",
        "COCO BLEU-4 27.7",
    ),
    "show_attend_tell": Entry(
        ShowAttendTell,
        ShowAttendTellConfig,
        ShowAttendTellConfig(embedding=64, hidden=128, attention=64, view=None),
        "caption",
        "Show, Attend and Tell (soft attention)",
        "Xu et al. 2015, arXiv:1502.03044",
        "COCO test BLEU-4 24.3",
    ),
    "adaptive_attention": Entry(
        AdaptiveAttention,
        AdaptiveAttentionConfig,
        AdaptiveAttentionConfig(embedding=64, hidden=128, attention=32, dropout=0.1),
        "caption",
        "Adaptive Attention with a visual sentinel",
        "Lu et al. 2017, arXiv:1612.01887",
        "COCO BLEU-4 33.2, CIDEr 1.085",
    ),
    "up_down": Entry(
        UpDown,
        UpDownConfig,
        UpDownConfig(embedding=64, hidden=128, attention=64, dropout=0.1),
        "caption",
        "Up-Down captioner",
        "Anderson et al. 2018, arXiv:1707.07998",
        "COCO test BLEU-4 36.2, CIDEr 1.135",
    ),
    "transformer": Entry(
        Transformer,
        TransformerConfig,
        TransformerConfig(
            width=64,
            feed_forward=128,
            heads=4,
            encoder_layers=2,
            decoder_layers=2,
            region_dropout=0.1,
        ),
        "caption",
        "Transformer captioner",
        "Vaswani et al. 2017, arXiv:1706.03762",
        "COCO CIDEr 1.126 (ruotianluo's port, cross-entropy)",
    ),
}


def look_up(table: dict[str, Any], kind: str, name: str) -> Any:
    """Find `name` in one of saccade's tables, or say what could have been meant.

    Raises BadConfig for a name that is not in the table.
    """
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise BadConfig(
        f"there is no {kind} {name!r}", cure=f"{hint}There are: {', '.join(sorted(table))}."
    )


def build_model(config: BaseModel, sizes: Sizes) -> nn.Module:
    """Make the model a config belongs to, with fresh weights."""
    entry: Entry = look_up(MODELS, "model", getattr(config, "kind", "?"))
    return entry.model(config, sizes)
