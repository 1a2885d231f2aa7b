"""Every recipe that has a name.

A new one is a value in a file of this folder and a line here; a variant is `RECIPE.replace(...)`.
`tests/test_every_recipe.py` runs over this table: each recipe must be complete and buildable, and
each `-small` one must learn.
"""

from typing import TYPE_CHECKING

from saccade.core.tables import Table

if TYPE_CHECKING:
    from saccade.config import Recipe

_RECIPES = {
    "ibowimg": "ibowimg:IBOWIMG",
    "ibowimg-small": "ibowimg:SMALL",
    "lstm-cnn": "lstm_cnn:LSTM_CNN",
    "lstm-cnn-small": "lstm_cnn:SMALL",
    "basic-vqa": "lstm_cnn:BASIC_VQA",
    "san-cnn": "san:SAN_CNN",
    "san-lstm": "san:SAN_LSTM",
    "san-course": "san:SAN_COURSE",
    "san-small": "san:SMALL",
    "joint-embedding": "joint_embedding:JOINT_EMBEDDING",
    "joint-embedding-concat": "joint_embedding:JOINT_EMBEDDING_CONCAT",
    "joint-embedding-openvqa": "joint_embedding:JOINT_EMBEDDING_OPENVQA",
    "joint-embedding-pythia": "joint_embedding:JOINT_EMBEDDING_PYTHIA",
    "joint-embedding-small": "joint_embedding:SMALL",
    "mcan": "mcan:MCAN",
    "auto-vqa": "automatic:AUTO_VQA",
    "mcan-small": "mcan:SMALL",
    "show-ask-attend-answer": "show_ask_attend_answer:SHOW_ASK_ATTEND_ANSWER",
    "show-ask-attend-answer-small": "show_ask_attend_answer:SMALL",
    "pitvqa": "pitvqa:PITVQA",
    "pitvqa-fixed": "pitvqa:PITVQA_FIXED",
    "pitvqa-small": "pitvqa:SMALL",
    "show-tell": "show_tell:SHOW_TELL",
    "show-tell-first-word": "show_tell:SHOW_TELL_FIRST_WORD",
    "show-tell-im2txt": "show_tell:SHOW_TELL_IM2TXT",
    "show-tell-small": "show_tell:SMALL",
    "show-attend-tell": "show_attend_tell:SHOW_ATTEND_TELL",
    "show-attend-tell-small": "show_attend_tell:SMALL",
    "show-attend-tell-fine-tuned": "show_attend_tell:SHOW_ATTEND_TELL_FINE_TUNED",
    "show-attend-tell-fine-tuned-small": "show_attend_tell:FINE_TUNED_SMALL",
    "adaptive-attention": "adaptive_attention:ADAPTIVE_ATTENTION",
    "adaptive-attention-fine-tuned": "adaptive_attention:ADAPTIVE_ATTENTION_FINE_TUNED",
    "adaptive-attention-lua": "adaptive_attention:ADAPTIVE_ATTENTION_LUA",
    "adaptive-attention-small": "adaptive_attention:SMALL",
    "auto-caption": "automatic:AUTO_CAPTION",
    "att2in": "up_down:ATT2IN",
    "att2in-small": "up_down:ATT2IN_SMALL",
    "up-down": "up_down:UP_DOWN",
    "up-down-self-critical": "up_down:UP_DOWN_SELF_CRITICAL",
    "up-down-small": "up_down:UP_DOWN_SMALL",
    "aoa": "up_down:AOA",
    "aoa-small": "up_down:AOA_SMALL",
    "transformer": "up_down:TRANSFORMER",
    "transformer-small": "up_down:TRANSFORMER_SMALL",
}
"""Where the recipe of each name is: `module:NAME` in this folder, imported when it is asked for."""

RECIPES: Table["Recipe"] = Table(
    "recipe", {name: f"saccade.recipes.{place}" for name, place in _RECIPES.items()}
)


def check_name(recipe: str) -> None:
    """Refuse a name that no recipe has, before anything is built. Raises BadConfig.

    A recipe's file and `package.module:RECIPE` are no names.
    """
    if is_name(recipe) and recipe not in RECIPES:
        RECIPES.look_up(recipe)


def is_name(recipe: str) -> bool:
    """True for a name of the table, false for a recipe's file or its place in a module."""
    return not recipe.endswith((".toml", ".json")) and ":" not in recipe
