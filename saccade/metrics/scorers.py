"""The table of other programs' scorers: the number that each prints for the same predictions.

`saccade score --as NAME` shows it beside the official one. Each line is exactly defined and was
written from what the program computes; `python -m benchmarks.scorers --check` compares it with the
package itself, question by question, and `docs/measured/scorers.md` has what comes out.
"""

import operator
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.core.tables import Table
from saccade.core.tasks import TaskName
from saccade.metrics.bleu import bleu
from saccade.metrics.catalogue import Result
from saccade.metrics.cider import corpus_cider
from saccade.metrics.rouge import corpus_rouge_l
from saccade.metrics.vqa import leave_one_out
from saccade.text.answers import (
    ARTICLES,
    NUMBERS,
    clean_answer,
    normalise_digits_and_articles,
    normalise_punctuation,
)

Compute = Callable[[Sequence[str], Sequence[Sequence[str]]], Mapping[str, Result]]
"""From predictions and all that people wrote about each, as written, to scores by the names of
`METRICS`, on their scale."""


class Scorer(NamedTuple):
    """One program's way to score a task."""

    version: str
    task: TaskName
    differs: str
    """What makes its number another one than the official."""
    compute: Compute


def _answers(
    normalise: Callable[[str], str],
    share: Callable[[tuple[bool, ...]], float],
    same: Callable[[str, str], bool] = operator.eq,
) -> Compute:
    """A scorer that normalises each text by itself, and gives a share for who agrees."""
    form = lru_cache(maxsize=2**18)(normalise)

    def compute(
        predictions: Sequence[str], people: Sequence[Sequence[str]]
    ) -> Mapping[str, Result]:
        scores = []
        for prediction, answers in zip(predictions, people, strict=True):
            mine = form(prediction)
            scores.append(share(tuple(same(mine, form(answer)) for answer in answers)))
        return {"accuracy": Result(100 * sum(scores) / len(scores), scores)}

    return compute


def _official_form(comma: str, full_stop: str) -> Callable[[str], str]:
    """The official normaliser with another idea of which comma and which full stop counts."""
    rules = re.compile(comma), re.compile(full_stop)

    def form(text: str) -> str:
        text = normalise_punctuation(clean_answer(text, "blanks"), *rules)
        return normalise_digits_and_articles(text)

    return form


def _without_possessives(text: str) -> str:
    """The form of Pythia and MMF: commas, question marks and 's go before the official steps."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return clean_answer(text, "all")


def _squad(text: str) -> str:
    """The form of reading comprehension: punctuation vanishes wherever it stands, articles go."""
    text = text.strip().lower().translate(dict.fromkeys(map(ord, string.punctuation)))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


_ALL_BUT_COLON = str.maketrans(dict.fromkeys(string.punctuation.replace(":", ""), " "))


def _all_marks_blank(text: str) -> str:
    """Every mark but the colon a blank, a comma between digits nothing; no contractions."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower()).translate(_ALL_BUT_COLON)
    words = (NUMBERS.get(word, word) for word in text.split())
    return " ".join(word for word in words if word not in ARTICLES)


def _of_ten(matching: tuple[bool, ...]) -> float:
    if len(matching) != 10:
        message = f"mmf scores questions of ten human answers, and here one has {len(matching)}"
        raise BadData(message, hint="Choose another with --as: saccade list scorers.")
    return leave_one_out(matching)


def _third_of_all(matching: tuple[bool, ...]) -> float:
    return min(1.0, sum(matching) / len(matching) / 0.3)


def _third_of_one(matching: tuple[bool, ...]) -> float:
    return leave_one_out(matching) if len(matching) > 1 else sum(matching) / 3


def _evalscope(predictions: Sequence[str], people: Sequence[Sequence[str]]) -> Mapping[str, Result]:
    """What stands behind the last "answer:", without quotes; nothing is never right."""
    ends = [re.findall(r"answer:\s*(.*)", text, re.IGNORECASE) for text in predictions]
    given = [(end or [text])[-1] for end, text in zip(ends, predictions, strict=True)]
    given = [text.strip().strip("\"'") for text in given]
    known = [[answer for answer in some if answer.strip()] for some in people]

    def same(text: str, answer: str) -> bool:
        return bool(text) and text == answer

    return _answers(_all_marks_blank, _third_of_one, same)(given, known)


def _crfm_helm(predictions: Sequence[str], people: Sequence[Sequence[str]]) -> Mapping[str, Result]:
    """Right where it begins as an answer does; an empty one is wrong though all texts begin so."""
    known = [some if text.strip() else () for text, some in zip(predictions, people, strict=True)]
    return _answers(_squad, lambda matching: float(any(matching)), str.startswith)(
        predictions, known
    )


def _raw_captions(
    predictions: Sequence[str], people: Sequence[Sequence[str]]
) -> Mapping[str, Result]:
    """coco-caption's measures over words between blanks, capitals and full stops included."""
    words = [text.split() for text in predictions], [[t.split() for t in some] for some in people]
    # Its ROUGE-L alone cuts at every blank, so that two blanks have an empty word between them.
    pieces = [t.split(" ") for t in predictions], [[t.split(" ") for t in some] for some in people]
    return bleu(*words) | {"rouge_l": corpus_rouge_l(*pieces), "cider": corpus_cider(*words)}


SCORERS: Table[Scorer] = Table(
    "scorer",
    {
        "lmms-eval": Scorer(
            "0.7.3, vqav2",
            "vqa",
            "normalises also where all people agree; two commas between digits count as one",
            _answers(_official_form(r"\d,+\d", r"\.(?!\d)"), leave_one_out),
        ),
        "mmf": Scorer(
            "1.0.0rc10, TextVQA evaluator",
            "vqa",
            "normalises also where all people agree; commas, ? and 's go first; only ten answers",
            _answers(_without_possessives, _of_ten),
        ),
        "mmpretrain": Scorer(
            "1.2.0, VQAAcc",
            "vqa",
            "k / 3 over all ten people, nobody is left out; normalises always",
            _answers(lambda text: clean_answer(text, "all"), _third_of_all),
        ),
        "ms-vlmeval": Scorer(
            "0.0.20, vqa_score of TextVQA",
            "vqa",
            'normalises always; a full stop behind a digit stays ("2." is not "2")',
            _answers(_official_form(r"\d,\d", r"(?<!\d)\.(?!\d)"), leave_one_out),
        ),
        "evalscope": Scorer(
            "1.14.1, vqav2",
            "vqa",
            "normalises always: every mark is a blank, no contractions; one reference gives 1/3",
            _evalscope,
        ),
        "crfm-helm": Scorer(
            "0.5.16, quasi-prefix exact match",
            "vqa",
            "right if it begins as any person's answer does",
            _crfm_helm,
        ),
        "ms-vlmeval-captions": Scorer(
            "0.0.20, COCO_Caption_Scorer",
            "caption",
            "no tokenizer: capitals and full stops are part of the words",
            _raw_captions,
        ),
    },
)


def scorer_of(name: str, task: str) -> Scorer:
    """A line of the table. Raises BadConfig for an unknown name, or one of another task."""
    line = SCORERS.look_up(name)
    if line.task != task:
        some = ", ".join(key for key, one in SCORERS.items() if one.task == task)
        message = f"{name} scores {line.task} predictions, these are for {task}"
        raise BadConfig(message, location="--as", hint=f"Choose from {some}.")
    return line
