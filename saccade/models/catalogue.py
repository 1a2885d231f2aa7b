"""Every model saccade has: one line each. A new model is a file in this folder and a line here.

What stands here is tested the moment it is written: `tests/test_every_model.py` runs over it.
"""

from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from torch import nn

from saccade.batch import Sizes
from saccade.errors import BadConfig
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswer, ShowAskAttendAnswerConfig
from saccade.models.show_attend_tell import ShowAttendTell, ShowAttendTellConfig


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
    "show_ask_attend_answer": Entry(
        ShowAskAttendAnswer,
        ShowAskAttendAnswerConfig,
        ShowAskAttendAnswerConfig(embedding=64, question=128, attention=64, hidden=128),
        "vqa",
        "Show, Ask, Attend, and Answer",
        "Kazemi & Elqursh 2017, arXiv:1704.03162",
        "VQA v1 test-standard 64.6",
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
