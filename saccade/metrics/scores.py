"""Every metric saccade scores with: one line each. A new one is a file here and a line here."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.rouge import corpus_rouge_l
from saccade.metrics.vqa import vqa_accuracy


class Metric(NamedTuple):
    """One metric."""

    task: Literal["vqa", "caption"]
    function: Callable[..., Any]
    range: str
    source: str
    """Whose definition it follows to the letter."""


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        "vqa", vqa_accuracy, "0..100", "Antol et al. 2015; GT-Vision-Lab/VQA, 2021-03 or 2016"
    ),
    "bleu": Metric("caption", corpus_bleu, "0..1", "Papineni et al. 2002; tylin/coco-caption"),
    "rouge_l": Metric("caption", corpus_rouge_l, "0..1", "Lin 2004; tylin/coco-caption"),
    "cider": Metric(
        "caption", corpus_cider, "0..10", "Vedantam et al. 2015, CIDEr-D; tylin/coco-caption"
    ),
}
