"""The table of metrics: every score that `evaluate` computes, one line each.

A new metric is a file in this folder and a line here; another package adds one by an entry point in
the group `saccade.metrics` that names a `Metric`. The table imports neither numpy nor torch.
Definitions, known oddities and golden tests are in `docs/metrics.md`.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, Literal, NamedTuple

from saccade.core.tables import Table, load_object
from saccade.core.tasks import TaskName

BESIDE = frozenset(["choices", "pairs", "rephrasings", "entailments", "objects"])
"""Needs that a data folder has beside its records, where it has them: its methods' names."""
GIVEN_IN_TRAINING = BESIDE | {"revision", "confidence", "chosen"}


class Result(NamedTuple):
    """What a metric computes for a set of predictions."""

    value: float
    """The corpus score, as `scores.json` keeps it."""
    per_example: Sequence[float] | None = None
    """One value per prediction, for a column of the rows file. Where the line says `is_mean`,
    intervals and paired tests are made from them."""
    sums: Sequence[Sequence[float]] | None = None
    """For a corpus score that is no mean: what each example adds to the sums that the line's
    `from_sums` makes the score from."""


class NotMeasured(NamedTuple):
    """Why there is no score, in one sentence for the report."""

    reason: str
    not_of_this_data: bool = False
    """Has the data nothing of what is measured, as open questions have no choices? Then the score
    is left out, unless it was asked for."""


class Metric(NamedTuple):
    """One score."""

    title: str
    task: TaskName
    compute: str
    """`module:function`, imported when it is first needed. The function takes (predictions,
    references) in the same order, and what `needs` names as keywords. VQA: answers, and
    `data.records.Question` objects; captions: tuples of words, and a sequence of them per image.
    It returns a Result or NotMeasured; one that computes several scores at once is named by several
    lines and returns a mapping from their names to Results."""
    scale: float
    """What a stored value is multiplied by to be shown."""
    unit: str
    """Of the shown value: "%", "points", or empty."""
    digits: int
    """Of the shown value, after the point."""
    direction: Literal["high", "low", "none"]
    """Which values are better; "none" for a number that only describes."""
    source: str
    """Whose definition it is, and the code that it agrees with."""
    needs: tuple[str, ...] = ()
    """Keywords of `compute`: "revision" of the VQA scorer, "confidence" of each prediction,
    "training" captions, the "image_ids" of captions, the path of a "wordnet" or None, whether
    "java" may be run; and those of `BESIDE`, as `data.folder.DataFolder` has them, empty where the
    data has none. "chosen" are the choices that a model holds likeliest, by question id, or None
    where nobody has the model."""
    words: Literal["data", "ptb"] = "data"
    """Captions in the data set's own words, or cut by the Penn Treebank tokenizer."""
    is_mean: bool = True
    """Is the corpus score `example_scale` times the mean of the values per example?"""
    example_scale: float = 1.0
    from_sums: str = ""
    """`module:function`: from sums over examples (..., S) to scores (...); needs `Result.sums`."""

    @property
    def selectable(self) -> bool:
        """Can it choose the best epoch: high is good, and training has all that it needs?"""
        given = GIVEN_IN_TRAINING.issuperset(self.needs) and self.words == "data"
        return given and self.direction == "high"

    def shown(self, value: float) -> str:
        """A stored value as a person reads it: scaled, rounded, with its unit."""
        number = f"{value * self.scale:z.{self.digits}f}"  # z: never "-0.0"
        return f"{number}{self.unit}" if self.unit == "%" else f"{number} {self.unit}".strip()


def _check(line: Any) -> None:
    if not isinstance(line, Metric):
        raise ValueError(f"{line!r} is no saccade.metrics.catalogue.Metric")
    if line.task not in {"vqa", "caption"} or line.direction not in {"high", "low", "none"}:
        raise ValueError(f"no such task or direction: {line.task!r}, {line.direction!r}")


_HERE = "saccade.metrics"
_PERCENT: Final = (100.0, "%", 1)  # scale, unit and digits of a share
_POINTS: Final = (100.0, "points", 1)
_SINGLE = "scikit-learn; for questions with one answer each, as in surgical VQA"
_PAIRS = "Goyal et al. 2017, section 3; Zhang et al. 2018"
_PROGRAM = "Malinowski & Fritz 2014 and the published program; needs a WordNet and nltk"


def _labels(title: str) -> Metric:
    compute = f"{_HERE}.classification:classification"
    return Metric(title, "vqa", compute, *_PERCENT, "high", _SINGLE)


def _yes_no(title: str, *, is_mean: bool = False) -> Metric:
    source, compute = "Li et al. 2023; AoiDragon/POPE evaluate.py", f"{_HERE}.yes_no:yes_no"
    return Metric(title, "vqa", compute, *_PERCENT, "high", source, is_mean=is_mean)


def _wups(title: str) -> Metric:
    needs, compute = ("wordnet",), f"{_HERE}.wups:wups"
    line = Metric(title, "vqa", compute, 1.0, "%", 1, "high", _PROGRAM, needs)
    return line._replace(example_scale=100.0)


def _calibration(title: str, source: str) -> Metric:
    needs, compute = ("confidence", "revision"), f"{_HERE}.calibration:calibration"
    return Metric(title, "vqa", compute, *_POINTS, "low", source, needs)


def _beside(title: str, compute: str, source: str, *needs: str) -> Metric:
    """A score of answers by what the data has beside the questions."""
    line = Metric(title, "vqa", f"{_HERE}.{compute}", *_PERCENT, "high", source)
    return line._replace(needs=(*needs, "revision"), is_mean=False)


def _caption(title: str, compute: str, source: str) -> Metric:
    return Metric(title, "caption", f"{_HERE}.{compute}", *_POINTS, "high", source)


def _bleu(title: str) -> Metric:
    line = _caption(title, "bleu:bleu", "Papineni et al. 2002; coco-caption bleu_scorer.py")
    return line._replace(is_mean=False, from_sums=f"{_HERE}.bleu:bleu_of_sums")


def _chair(title: str) -> Metric:
    needs, source = ("objects", "image_ids"), "Rohrbach et al. 2018; with other words for objects"
    line = Metric(title, "caption", f"{_HERE}.chair:chair", *_PERCENT, "low", source, needs)
    return line._replace(words="ptb")


def _diversity(title: str, source: str, shown: tuple[float, str, int] = _PERCENT) -> Metric:
    compute = f"{_HERE}.diversity:diversity"
    return Metric(title, "caption", compute, *shown, "none", source, ("training",))


METRICS: Table[Metric] = Table(
    "metric",
    {
        "accuracy": Metric(
            "accuracy",
            "vqa",
            f"{_HERE}.vqa:accuracy",
            1.0,
            "%",
            1,
            "high",
            "Antol et al. 2015; GT-Vision-Lab/VQA vqaEval.py, revisions of 2021 and 2016",
            needs=("revision",),
            example_scale=100.0,
        ),
        "multiple_choice_accuracy": _beside(
            "multiple-choice accuracy",
            "multiple_choice:multiple_choice_accuracy",
            "Antol et al. 2015, section 5; of questions that offer choices",
            "choices",
            "chosen",
        )._replace(from_sums=f"{_HERE}.intervals:mean"),
        "pair_accuracy": _beside("complementary pairs right", "consistency:pairs", _PAIRS, "pairs"),
        "pair_same_answer": _beside(
            "complementary pairs answered alike", "consistency:pairs", _PAIRS, "pairs"
        )._replace(direction="low"),
        **{
            f"consensus_{size}": _beside(
                f"consensus of {size} rephrasing{'s' * (size > 1)}",
                "consistency:consensus",
                "Shah et al. 2019, section 3",
                "rephrasings",
            )
            for size in (1, 2, 3, 4)
        },
        "entailed_accuracy": _beside(
            "entailed questions right, too",
            "consistency:entailments",
            "Hudson & Manning 2019, section 4.4; GQA eval.py, consistency",
            "entailments",
        ),
        "balanced_accuracy": _labels("balanced accuracy"),
        "macro_precision": _labels("macro precision"),
        "macro_recall": _labels("macro recall"),
        "macro_f1": _labels("macro F1"),
        "macro_precision_pitvqa": _labels("macro precision, PitVQA's averaging"),
        "macro_recall_pitvqa": _labels("macro recall, PitVQA's averaging"),
        "macro_f1_pitvqa": _labels("macro F1, PitVQA's averaging"),
        "yes_no_accuracy": _yes_no("accuracy of yes or no", is_mean=True),
        "yes_precision": _yes_no("precision of yes"),
        "yes_recall": _yes_no("recall of yes"),
        "yes_f1": _yes_no("F1 of yes"),
        "yes_share": _yes_no("answers that are yes", is_mean=True)._replace(direction="none"),
        "wups_0_9": _wups("WUPS at 0.9"),
        "wups_0_0": _wups("WUPS at 0.0"),
        "expected_calibration_error": _calibration(
            "expected calibration error", "Guo et al. 2017, section 2; 15 bins"
        ),
        "area_under_risk_coverage": _calibration(
            "area under risk-coverage curve", "Geifman & El-Yaniv 2017; Geifman et al. 2019"
        ),
        "bleu_1": _bleu("BLEU-1"),
        "bleu_2": _bleu("BLEU-2"),
        "bleu_3": _bleu("BLEU-3"),
        "bleu_4": _bleu("BLEU-4"),
        "rouge_l": _caption("ROUGE-L", "rouge:corpus_rouge_l", "Lin 2004; coco-caption rouge.py"),
        "cider": _caption(
            "CIDEr-D", "cider:corpus_cider", "Vedantam et al. 2015; coco-caption cider_scorer.py"
        ),
        "meteor": _caption(
            "METEOR",
            "java:meteor",
            "Denkowski & Lavie 2014; the METEOR 1.5 program itself: needs Java, saccade[metrics]",
        )._replace(needs=("java",), words="ptb", is_mean=False),
        "spice": _caption(
            "SPICE",
            "java:spice",
            "Anderson et al. 2016; the SPICE 1.0 program: needs Java, saccade[metrics], models",
        )._replace(needs=("java",), words="ptb"),
        "chair_s": _chair("captions with an object that is not there (CHAIR_s)"),
        "chair_i": _chair("mentioned objects that are not there (CHAIR_i)")._replace(
            is_mean=False, from_sums=f"{_HERE}.intervals:mean"
        ),
        "distinct_1": _diversity("distinct 1-grams", "Li et al. 2016"),
        "distinct_2": _diversity("distinct 2-grams", "Li et al. 2016"),
        "distinct_3": _diversity("distinct 3-grams", "Li et al. 2016"),
        "distinct_4": _diversity("distinct 4-grams", "Li et al. 2016"),
        "distinct_captions": _diversity("different captions", "share of all captions"),
        "novel_captions": _diversity("captions not in the training set", "Devlin et al. 2015"),
        "caption_length": _diversity("words in a caption", "a mean", (1.0, "", 1)),
        "words_used": _diversity("different words used", "a count", (1.0, "", 0)),
        "vocabulary_used": _diversity("training words used", "share of the training captions'"),
    },
    group="saccade.metrics",
    check=_check,
)


def metrics_of(task: str) -> list[str]:
    """The names of a task's metrics, those of other packages last."""
    return [name for name, metric in METRICS.items() if metric.task == task]


def titled(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and value, as a person reads it, of each metric of the table that was measured."""
    return [
        (metric.title, metric.shown(scores[name]))
        for name, metric in METRICS.items()
        if isinstance(scores.get(name), int | float)
    ]


def measure(
    names: Iterable[str],
    texts: Mapping[str, tuple[Sequence[Any], Sequence[Any]]],
    options: Mapping[str, Any],
) -> dict[str, Result | NotMeasured]:
    """Compute some metrics; a function that several of them name is called once.

    `texts` holds predictions and references by kind of words, as `Metric.words` names them;
    `options` has the keywords that metrics may need. A metric of another package that fails is
    NotMeasured, with the error; saccade's own raise.
    """
    found: dict[str, Result | NotMeasured] = {}
    computed: dict[tuple[str, str], Any] = {}
    for name in names:
        metric = METRICS[name]
        predictions, references = texts[metric.words]
        key = metric.compute, metric.words
        if key not in computed:
            try:
                given = {need: options[need] for need in metric.needs}
                computed[key] = load_object(metric.compute)(predictions, references, **given)
            except Exception as error:
                if metric.compute.startswith("saccade."):
                    raise
                reason = f"{metric.title}: {type(error).__name__}: {error}"
                computed[key] = NotMeasured(reason)
        result = computed[key]
        if isinstance(result, Mapping):
            result = result.get(name)
        whole = (
            isinstance(result, Result)
            and isinstance(result.value, (int, float))
            and isfinite(result.value)
            and all(part is None or len(part) == len(predictions) for part in result[1:])
        )
        if not (whole or isinstance(result, NotMeasured)):
            reason = "no Result with a finite number, and one for each example where it has some"
            result = NotMeasured(f"{metric.title}: {metric.compute} gave {reason}")
        found[name] = result
    return found
