"""What stands in `scores.json` beside the score itself: how sure, how varied, how nearly right.

Made from the judged rows alone. What cannot be measured here says why.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saccade.data.folder import DataFolder
from saccade.data.records import Question, Split
from saccade.judged import MAIN, Judged, statistics
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.calibration import calibration_score
from saccade.metrics.cider import corpus_cider
from saccade.metrics.classification import Averaging, classification_score
from saccade.metrics.diversity import caption_diversity
from saccade.metrics.intervals import interval
from saccade.metrics.java import Measured, NotMeasured, meteor, spice
from saccade.metrics.ptb import coco_words
from saccade.metrics.rouge import corpus_rouge_l
from saccade.metrics.wups import wups
from saccade.text.answers import normalise_answer

AVERAGINGS: tuple[Averaging, ...] = ("plain", "pitvqa")


def intervals(task: str, judged: Judged) -> dict[str, Any]:
    """95 % intervals of the main scores, by drawing pictures anew; see `metrics.intervals`."""
    found = statistics(judged.rows)
    names = [*MAIN[task], *(["rouge_l"] if task == "caption" else [])]
    if len(found[names[0]].sums) < 2:
        return {"not_measured": "one picture says nothing about others"}
    return {name: list(interval(found[name])) for name in names}


def of_answers(
    judged: Judged, questions: Sequence[Question], wordnet: Path | None
) -> dict[str, Any]:
    """Calibration, WUPS, and where every question has one answer, classification scores."""
    rows = judged.rows
    calibration = calibration_score(rows["confidence"], rows["score"])
    found = wups(rows["answer"], [_best_answer(question) for question in questions], wordnet)
    further: dict[str, Any] = {
        "calibration": {
            "ece": calibration.ece,
            "aurc": calibration.aurc,
            "bins": [bin_._asdict() for bin_ in calibration.bins if bin_.answers],
            "coverage": calibration.coverage,
            "risk": calibration.risk,
        },
        "wups": {"not_measured": found.reason}
        if isinstance(found, NotMeasured)
        else {str(threshold): score for threshold, score in found.overall.items()},
    }
    if all(len(question.answers) == 1 for question in questions):
        said = [normalise_answer(answer) for answer in rows["answer"]]
        true = [normalise_answer(question.answers[0]) for question in questions]
        further["classification"] = {name: _classified(said, true, name) for name in AVERAGINGS}
        pairs = sorted(Counter(zip(true, said, strict=True)).items())
        further["confusion"] = [{"true": t, "said": s, "questions": n} for (t, s), n in pairs]
    return further


def _best_answer(question: Question) -> str:
    """The answer that counts as the right one: the official best, else the commonest."""
    return question.best_answer or Counter(question.answers).most_common(1)[0][0]


def _classified(said: Sequence[str], true: Sequence[str], averaging: Averaging) -> dict[str, Any]:
    # Plain means are over the split's own answers, so that runs can be compared; PitVQA's own
    # averaging counts what was only ever said as well.
    stated = sorted(set(true)) if averaging == "plain" else None
    score = classification_score(said, true, labels=stated, averaging=averaging)
    names = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
    return {name: getattr(score, name) for name in names} | {"labels": len(score.labels)}


def of_captions(judged: Judged, folder: DataFolder, split: Split, *, java: bool) -> dict[str, Any]:
    """Diversity beside that of people, and METEOR and SPICE where `java` asks for them."""
    training = [caption.words for caption in folder.captions("train")]
    people = folder.captions_by_picture(split)
    said = {row["image_id"]: row["caption"].split() for row in judged.predictions}
    captions = [said[id_] for id_ in people]
    one_each = [some[0].words for some in people.values()]
    official = {"meteor": meteor, "spice": spice}
    cut = coco_words([" ".join(words) for words in captions])
    references = _cut([[caption.text for caption in some] for some in people.values()])
    return {
        "leaderboard": _leaderboard(cut, references),
        "diversity": caption_diversity(captions, training)._asdict(),
        "diversity_of_people": caption_diversity(one_each, training)._asdict(),
        **{
            name: _or_reason(measure(cut, references))
            if java
            else {"not_measured": f"{name.upper()}: not asked for (--java)"}
            for name, measure in official.items()
        },
    }


def _or_reason(found: Measured | NotMeasured) -> float | dict[str, str]:
    return found.corpus if isinstance(found, Measured) else {"not_measured": found.reason}


def _cut(texts: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Each picture's captions in the words of the official tokenizer, which reads all in one go."""
    words = iter(coco_words([text for several in texts for text in several]))
    return [[next(words) for _ in several] for several in texts]


def _leaderboard(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> dict[str, Any]:
    """The same captions as the COCO server would score them: raw text, the official tokenizer."""
    bleu = corpus_bleu(captions, references).corpus
    return {
        "tokens": "PTB, punctuation dropped",
        **{f"bleu_{n}": value for n, value in enumerate(bleu, start=1)},
        "rouge_l": corpus_rouge_l(captions, references).corpus,
        "cider": corpus_cider(captions, references).corpus,
    }
