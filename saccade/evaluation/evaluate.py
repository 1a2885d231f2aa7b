"""Judging a run on a split, with the official metric and beside what needs no image at all.

Writes into the run folder `scores.json` (every number with what it means, see
`docs/honest-numbers.md`), `predictions.json` (the official upload form) and `scored-SPLIT.parquet`
(how right each answer or caption was, for comparing runs). Equal runs give equal files.
"""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import safe_open

from saccade.core.devices import choose_device
from saccade.core.errors import BadData, BadRun
from saccade.core.files import write_json
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Question, Split
from saccade.evaluation.baselines import SHUFFLED, run_baselines, visual_gain
from saccade.evaluation.scoring import MAIN, ScoredExamples, statistics, write_rows
from saccade.evaluation.tasks import TASKS
from saccade.experiment import Experiment, assemble_for_run
from saccade.features.store import StoreHeader
from saccade.inference.model import load_model
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
from saccade.run_folder import OpenedRun, open_run
from saccade.text.answers import normalise_answer

# What stands in `scores.json` beside the score itself: how sure, how varied, how nearly right.

AVERAGINGS: tuple[Averaging, ...] = ("plain", "pitvqa")


def intervals(task: str, scored: ScoredExamples) -> dict[str, Any]:
    """95 % intervals of the main scores, by drawing images anew; see `metrics.intervals`."""
    found = statistics(scored.rows)
    names = [*MAIN[task], *(["rouge_l"] if task == "caption" else [])]
    if len(found[names[0]].sums) < 2:
        return {"not_measured": "one image says nothing about others"}
    return {name: list(interval(found[name])) for name in names}


def of_answers(
    scored: ScoredExamples, questions: Sequence[Question], wordnet: Path | None
) -> dict[str, Any]:
    """Calibration, WUPS, and where every question has one answer, classification scores."""
    rows = scored.rows
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


def of_captions(
    scored: ScoredExamples, folder: DataFolder, split: Split, *, java: bool
) -> dict[str, Any]:
    """Diversity beside that of people, and METEOR and SPICE where `java` asks for them."""
    training = [caption.words for caption in folder.captions("train")]
    people = folder.captions_by_image(split)
    said = {row["image_id"]: row["caption"].split() for row in scored.predictions}
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
    """Each image's captions in the words of the official tokenizer, which reads all in one go."""
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


def evaluate(  # noqa: PLR0913  each is something a person may want to say
    run: Path,
    *,
    split: Split | None = None,
    data: Path | None = None,
    features: str | None = None,
    beam_size: int | None = None,
    revision: str = "2021-03",
    wordnet: Path | None = None,
    java: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Judge a run's best weights; returns what stands in `scores.json` for the split.

    Without `split` it is "test" where that has answers or captions, else "val". `data` is needed
    only where the data folder has moved since training. `wordnet` is WordNet's folder or zip file,
    for WUPS; `java` asks for METEOR and SPICE too. Raises BadRun, BadData or BadStore.
    """
    opened = open_run(run)
    folder = DataFolder(data or _own_data(opened))
    experiment = assemble_for_run(opened, folder, features)
    task = experiment.recipe.task
    split = split or _scorable(folder, task)
    location = choose_device(device)
    model = load_model(opened).to(location)
    scored = TASKS[task].score_split(
        model, experiment, split, location, beam_size=beam_size, revision=revision
    )
    baselines = run_baselines(model, experiment, split, location, scored, revision=revision)
    scores = {
        "split": split,
        "task": task,
        **scored.scores,
        "interval": intervals(task, scored),
        "baselines": {name: baseline.shown(task) for name, baseline in baselines.items()},
        **visual_gain(task, scored, baselines[SHUFFLED]),
        **_further(scored, experiment, split, wordnet, java),
        **_labels(opened, experiment, split, revision),
    }
    whole = _scores_so_far(opened)
    whole[split] = scores
    write_json(run / "scores.json", whole)
    write_json(run / "predictions.json", scored.predictions)
    write_rows(run, split, scored.rows)
    return scores


def _further(
    scored: ScoredExamples, experiment: Experiment, split: Split, wordnet: Path | None, java: bool
) -> dict[str, Any]:
    if experiment.recipe.task == "vqa":
        return of_answers(scored, experiment.folder.questions(split), wordnet)
    return of_captions(scored, experiment.folder, split, java=java)


def _labels(
    opened: OpenedRun, experiment: Experiment, split: Split, revision: str
) -> dict[str, Any]:
    """What every number above must be read with. None where it cannot be known."""
    header, recipe = opened.header, experiment.recipe
    same = experiment.folder.fingerprint == header.fingerprint
    known = same and all(one.fingerprint == header.fingerprint for one in header.ancestors)
    with safe_open(opened.path / "model.safetensors", framework="pt") as stream:
        about = stream.metadata() or {}
    decode = recipe.decode.model_dump() if recipe.decode else {}
    decode = {name: value for name, value in decode.items() if "beam_size" not in name}
    return {
        "decoding": "free-running",
        **({"decoding_rules": decode} if decode else {}),
        "scorer": _scorer(experiment, split, revision),
        "selected_on_this_split": _told(same and split == "val", known),
        "trained_on_this_split": _told(same and split == "train", known),
        "data": experiment.folder.fingerprint,
        "same_data_as_in_training": same,
        "features": experiment.store.path.name,
        "features_fingerprint": _fingerprint(experiment.store.header),
        "recipe": header.recipe_name,
        "initialised_from": ", ".join(f"{one.recipe_name}: {one.run}" for one in header.ancestors)
        or None,
        "model": recipe.model.kind,
        "seed": recipe.train.seed,
        "epoch": int(about["epoch"]) if "epoch" in about else None,
        "versions": header.versions,
    }


def _told(certain: bool, known: bool) -> bool | None:
    """A yes is certain; a no is known only where all of a run's past was on this very data."""
    return certain or (False if known else None)


def _scorer(experiment: Experiment, split: Split, revision: str) -> str:
    """Whose rules the scores follow. The official ones leave nobody where one person answered."""
    if experiment.recipe.task == "caption":
        return "coco-caption BLEU, ROUGE-L and CIDEr-D, over the data set's own words"
    alone = {len(question.answers) == 1 for question in experiment.folder.questions(split)}
    if alone == {True}:
        return "equal after normalisation to the single human answer, which has no official rule"
    mixed = "; single answers: equal after normalisation" if True in alone else ""
    return f"GT-Vision-Lab/VQA vqaEval.py, revision {revision}{mixed}"


def _fingerprint(header: StoreHeader) -> str:
    """SHA-256 of what the features were made of and with: equal features, equal fingerprint."""
    made = header.model_dump_json(exclude={"format", "complete", "command"})
    return sha256(made.encode()).hexdigest()


def _own_data(opened: OpenedRun) -> Path:
    if opened.header.data is None:
        raise BadRun(
            "an imported run has no data folder", location=opened.path, hint="Give one with --data."
        )
    return Path(opened.header.data)


def _scorable(folder: DataFolder, task: str) -> Split:
    """The last split that can be judged: test, where its answers are not secret, else val."""
    for split in reversed(SPLITS[1:]):
        if task == "vqa":
            questions = folder.questions(split)
            if questions and questions[0].answers:
                return split
        elif folder.captions(split):
            return split
    raise BadData(
        "neither the test nor the validation split has anything to judge by",
        location=folder.path,
        hint="Prepare the data with a validation split.",
    )


def _scores_so_far(opened: OpenedRun) -> dict[str, Any]:
    path = opened.path / "scores.json"
    if not path.exists():
        return {}
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
