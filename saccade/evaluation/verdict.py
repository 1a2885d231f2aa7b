"""The verdict on a split's scores: is the model better than what needs no image, and is the image
used at all?

It is made of an entry of `scores.json` alone. A metric under `LITTLE` points with right and with
wrong images has no resolution: BLEU-4 of 0 against 0 says nothing where CIDEr-D differs by 30.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from saccade.core.tasks import TASK_INFO
from saccade.metrics.catalogue import METRICS

LITTLE = 2.0
"""Points: a smaller gain means that the model hardly uses the image."""
SHUFFLED = "shuffled_images"


class BaselineInfo(NamedTuple):
    """What a baseline of `scores.json` is."""

    title: str
    short: str
    """The title where there is little space."""
    kind: Literal["no image", "wrong input", "other images"]
    """Made without any image; the run itself with inputs exchanged; or from similar images."""


BASELINES: Mapping[str, BaselineInfo] = {
    "most_frequent_answer": BaselineInfo("most frequent answer", "prior", "no image"),
    "most_frequent_per_question_type": BaselineInfo(
        "most frequent answer to the type of question", "prior", "no image"
    ),
    "most_frequent_per_question": BaselineInfo(
        "most frequent answer to the same question", "prior", "no image"
    ),
    "question_only": BaselineInfo("question only", "question only", "no image"),
    "shuffled_questions": BaselineInfo(
        "the run, shuffled questions", "wrong question", "wrong input"
    ),
    SHUFFLED: BaselineInfo("the run, shuffled images", "wrong image", "wrong input"),
    "constant_caption": BaselineInfo("one caption for all", "one caption", "no image"),
    "nearest_neighbour": BaselineInfo(
        "a caption of similar images", "similar images", "other images"
    ),
}
WRONG_INPUT = {name for name, of in BASELINES.items() if of.kind == "wrong input"}


def baseline_title(name: str) -> str:
    """A baseline as a person reads it; its name, where another version wrote it."""
    return BASELINES[name].title if name in BASELINES else name


CAUTIONS: Mapping[tuple[str, bool], str] = {
    ("trained_on_this_split", True): "trained on this very split: that is no result",
    ("selected_on_this_split", True): "selected epochs on this very split: scores are too good",
    ("same_data_as_in_training", False): "trained on other data than that of these scores",
    (
        "copies_of_training_images",
        True,
    ): "learnt copies of images that are scored here: scores are too good",
}
"""By label and its value in `scores.json`: what a reader must know before the first number."""

Better = Literal["yes", "not certain", "no", "not measured"]
ImageUse = Literal["yes", "hardly", "not certain", "misleads", "too low to tell", "not measured"]

IMAGE_USE: Mapping[ImageUse, str] = {
    "yes": "",
    "hardly": "hardly uses the image",
    "not certain": "use of the image not certain",
    "misleads": "the right image makes it worse",
    "too low to tell": "too low to tell",
    "not measured": "",
}
"""In a cell of a table."""


class Verdict(NamedTuple):
    """What the scores of a split amount to."""

    metric: str
    """The main metric that decides: the first that shows a use of the image, else the first that
    can show one, else the first that tells the model from a baseline."""
    baseline: str | None
    """The best baseline without an image by that metric."""
    better_than_baseline: Better
    """ "no" where that baseline is better; "not certain" where the interval of the difference
    contains 0."""
    image_use: ImageUse
    text: str
    """The same in sentences."""

    @property
    def is_clear(self) -> bool:
        """Is there nothing that a reader of the score must be warned of?"""
        return self.better_than_baseline in ("yes", "not measured") and self.image_use == "yes"


class Gap(NamedTuple):
    """A difference in points and its 95 % interval, where that was measured."""

    points: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval says so, else 0."""
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        """Such as "3.1 [-1.0, 7.0]"."""
        return f"{self.points:z.1f} [{self.low:z.1f}, {self.high:z.1f}]"


def is_number(value: Any) -> bool:
    """Is it a score, and not the reason why there is none?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def best_without_image(baselines: Mapping[str, Any], metric: str) -> str | None:
    """The name of the best baseline without an image by a metric; None where none was measured."""
    known = {
        name: scores[metric]
        for name, scores in baselines.items()
        if name in BASELINES and BASELINES[name].kind == "no image"
        if is_number(scores.get(metric))
    }
    return max(known, key=lambda name: known[name]) if known else None


def gain_of(scores: Mapping[str, Any], metric: str, entry: str = "visual_gain") -> Gap | None:
    """`visual_gain` or `baseline_gain` of a metric; None where it was not measured."""
    points, bounds = scores.get(entry, {}).get(metric), scores.get(f"{entry}_interval", {})
    if not is_number(points):
        return None
    low, high = bounds.get(metric) or (points, points)
    return Gap(points, low, high)


def give_verdict(scores: Mapping[str, Any]) -> Verdict:
    """The verdict on an entry of `scores.json`."""
    metrics = TASK_INFO[scores["task"]].main_metrics
    uses = {metric: image_use(scores, metric) for metric in metrics}
    order = ("yes", None, "too low to tell")  # None: all others
    rank = {m: order.index(use if use in order else None) for m, use in uses.items()}
    without = {m: best_without_image(scores["baselines"], m) for m in metrics}
    # Of metrics that show nothing of the image, one that tells the model from the baseline.
    metric = min(metrics, key=lambda m: (rank[m], not tells_apart(scores, m, without[m])))
    baseline = without[metric]
    better: Better = "not measured"
    gap = gain_of(scores, metric, "baseline_gain")
    if gap is not None:
        better = "no" if gap.points < 0 else "yes" if gap.sign > 0 else "not certain"
        better = better if tells_apart(scores, metric, baseline) else "not certain"
    sentences = [*_about_baselines(scores, metrics, metric), _about_image(scores, uses, metric)]
    return Verdict(metric, baseline, better, uses[metric], " ".join(sentences))


def image_use(scores: Mapping[str, Any], metric: str) -> ImageUse:
    """Does one metric show that the image is used?"""
    gain = gain_of(scores, metric)
    if gain is None:
        return "not measured"
    if not _has_resolution(metric, scores[metric], scores["baselines"][SHUFFLED][metric]):
        return "too low to tell"
    if gain.sign < 0:
        return "misleads"
    if gain.sign > 0 and gain.points >= LITTLE:
        return "yes"
    return "hardly" if gain.sign > 0 or gain.high < LITTLE else "not certain"


def tells_apart(scores: Mapping[str, Any], metric: str, baseline: str | None) -> bool:
    """Can a metric tell the model from a baseline?"""
    return baseline is not None and _has_resolution(
        metric, scores[metric], scores["baselines"][baseline][metric]
    )


def _has_resolution(metric: str, *values: float) -> bool:
    return METRICS[metric].scale * max(values) >= LITTLE


def _about_baselines(
    scores: Mapping[str, Any], metrics: Sequence[str], decides: str
) -> Iterator[str]:
    """A sentence for each metric by which a baseline without an image is not clearly worse."""
    for metric in metrics:
        of, gap = METRICS[metric], gain_of(scores, metric, "baseline_gain")
        name = best_without_image(scores["baselines"], metric)
        if gap is None or name is None:
            continue
        value, title = scores["baselines"][name][metric], baseline_title(name)
        if not _has_resolution(metric, scores[metric], value):
            continue
        against = f"{of.title} {of.shown(value)} against {of.shown(scores[metric])}"
        behind = Gap(-gap.points, -gap.high, -gap.low)
        if gap.sign < 0:
            yield (
                f"A baseline that uses no image ({title}) is better than the model: {against}, by "
                f"{behind} points."
            )
        elif gap.points < 0:
            yield (
                f"A baseline that uses no image ({title}) reaches as much as the model: {against}; "
                f"the interval of the difference contains 0."
            )
        elif gap.sign == 0 and metric == decides:
            yield (
                f"It is not certain that the model is better than a baseline that uses no image "
                f"({title}): it gains {gap} points of {of.title}, and the interval contains 0."
            )


def _about_image(scores: Mapping[str, Any], uses: Mapping[str, ImageUse], metric: str) -> str:
    """A sentence about the gain by the image."""
    use, gain, title = uses[metric], gain_of(scores, metric), METRICS[metric].title
    if gain is None:
        reason = scores["visual_gain"].get("not_measured", "not in scores.json")
        return f"The gain by the image was not measured: {reason}."
    right, wrong = (
        METRICS[metric].shown(of[metric]) for of in (scores, scores["baselines"][SHUFFLED])
    )
    exchanged = f"with the images exchanged for each other {title} is {wrong} instead of {right}"
    if use == "too low to tell":
        titles = " and ".join(METRICS[name].title for name in uses)
        return (
            f"Whether the image is used cannot be told: {titles} under {LITTLE:.0f} points, with "
            "the right images and with wrong ones."
        )
    if use == "yes":
        return f"The model uses the image: the right one gains {gain} points of {title}."
    if use == "hardly":
        return f"The model hardly uses the image: {exchanged}, a gain of {gain} points."
    if use == "misleads":
        return f"The right image makes the model worse: {exchanged}, a gain of {gain} points."
    return (
        f"It is not certain that the model uses the image: {exchanged}; the interval of the gain, "
        f"{gain} points, contains 0."
    )
