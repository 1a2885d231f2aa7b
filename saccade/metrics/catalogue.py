"""Every metric saccade has: one line each. A new one is a file in this folder and a line here.

What a line promises is written out in `docs/metrics.md`, oddities and golden tests included.
"""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One metric."""

    function: str
    """`module:function`, imported when it is first needed."""
    task: Literal["vqa", "caption"]
    range: str
    best: Literal["high", "low", "none"]
    """Whether more or less is better, or the number only describes."""
    source: str
    """Whose definition it is, and the code that it agrees with."""


METRICS: dict[str, Metric] = {
    "vqa_accuracy": Metric(
        "saccade.metrics.vqa:vqa_accuracy",
        "vqa",
        "0..100",
        "high",
        "Antol et al. 2015; GT-Vision-Lab/VQA vqaEval.py, revisions of 2021 and 2016",
    ),
    "classification": Metric(
        "saccade.metrics.classification:classification_score",
        "vqa",
        "0..1",
        "high",
        "accuracy (balanced too), macro precision, recall, F1; scikit-learn, PitVQA's averaging",
    ),
    "wups": Metric(
        "saccade.metrics.wups:wups",
        "vqa",
        "0..100",
        "high",
        "Malinowski & Fritz 2014, at 0.9 and 0.0; the published program: needs a WordNet, nltk",
    ),
    "calibration": Metric(
        "saccade.metrics.calibration:calibration_score",
        "vqa",
        "0..1",
        "low",
        "expected calibration error (Guo et al. 2017), risk and coverage (Geifman et al. 2019)",
    ),
    "bleu": Metric(
        "saccade.metrics.bleu:corpus_bleu",
        "caption",
        "0..1",
        "high",
        "bilingual evaluation understudy, Papineni et al. 2002; coco-caption bleu_scorer.py",
    ),
    "rouge_l": Metric(
        "saccade.metrics.rouge:corpus_rouge_l",
        "caption",
        "0..1",
        "high",
        "Lin 2004; coco-caption rouge.py",
    ),
    "cider": Metric(
        "saccade.metrics.cider:corpus_cider",
        "caption",
        "0..10",
        "high",
        "Vedantam et al. 2015; CIDEr-D as coco-caption, plain CIDEr as ruotianluo/cider",
    ),
    "meteor": Metric(
        "saccade.metrics.java:meteor",
        "caption",
        "0..1",
        "high",
        "Denkowski & Lavie 2014; the METEOR 1.5 program itself: needs Java and saccade[metrics]",
    ),
    "spice": Metric(
        "saccade.metrics.java:spice",
        "caption",
        "0..1",
        "high",
        "Anderson et al. 2016; the SPICE 1.0 program itself: needs Java, saccade[metrics], models",
    ),
    "diversity": Metric(
        "saccade.metrics.diversity:caption_diversity",
        "caption",
        "shares in 0..1, counts",
        "none",
        "distinct n-grams (Li et al. 2016), novel captions (Devlin et al. 2015), words used",
    ),
}
