"""Answering, evaluated: a model's answers to a split, scored, and the details of its scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from saccade.core.errors import BadRun
from saccade.core.progress import track
from saccade.data.batch import VqaBatch, VqaOutput
from saccade.data.examples import answered_questions, batches, in_reading_order
from saccade.data.folder import DataFolder
from saccade.data.records import Question, Split
from saccade.evaluation import scoring
from saccade.evaluation.teacher_forcing import AnswerLoss
from saccade.experiment import Experiment, question_examples
from saccade.inference.batched import answer_batches
from saccade.metrics.calibration import calibration_score
from saccade.metrics.vqa import cost_of_form, vqa_accuracy_of
from saccade.text.answers import (
    ALWAYS,
    OFFICIAL,
    AnswerList,
    changed_unanimous,
    comparable_answer,
)


@torch.inference_mode()
def score_model(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    options: scoring.ScoreOptions = scoring.ALL,
) -> scoring.ScoredExamples:
    """Score the likeliest answers; a question without features counts as wrong.

    A model's confidence in its answer is the answer's probability, as `decoding` computes it.
    """
    config, answers = experiment.recipe.answers, experiment.words.answers
    assert answers is not None
    assert config is not None
    questions = answered_questions(experiment.folder, split)
    examples = question_examples(experiment, split, only_answerable=False)
    loss, prior_loss = AnswerLoss(config.loss), AnswerLoss(config.loss)
    model.eval()
    order, at_once = in_reading_order(examples), 256
    ids = examples.ids[order].tolist()
    beside = options.beside("vqa", experiment.folder)
    chosen, chosen_by_prior = dict[int, str](), dict[int, str]()
    on_device = (cast(VqaBatch, batch.to(device)) for batch in batches(examples, order, at_once))
    answering = answer_batches(model, on_device, answers, config.loss)
    best, of_prior = list[tuple[str, float]](), list[tuple[str, float]]()
    for answered in track(answering, "answering", -(-len(order) // at_once)):
        output = answered.output
        if not bool(output.logits.isfinite().all()):
            experiment.store.largest_number(np.unique(examples.image))  # raises for such features
            hint = "Train again, with a lower learning rate."
            raise BadRun("the model's outputs are NaN or infinite, its features are not", hint=hint)
        loss.add(output, answered.batch)
        asked, choices = ids[len(best) : len(best) + len(answered.top)], beside.get("choices", {})
        chosen |= likeliest_choices(output.logits, asked, choices, answers)
        best += (likeliest for (likeliest,) in answered.top)
        if options.prior and answered.prior and output.prior_logits is not None:
            prior_loss.add(VqaOutput(output.prior_logits), answered.batch)
            chosen_by_prior |= likeliest_choices(output.prior_logits, asked, choices, answers)
            of_prior += (likeliest for (likeliest,) in answered.prior)
    about = {
        "upper_bound": upper_bound(questions, answers, options.revision),
        "without_features": examples.left_out["image without features"],
        "confidence": "sigmoid of the best answer's logit"
        if config.loss == "logistic"  # each answer is scored by itself
        else "softmax of the best answer",
    }

    def scored(
        found: list[tuple[str, float]], loss: AnswerLoss, chosen: Mapping[int, str]
    ) -> scoring.ScoredExamples:
        predictions = {question.id: "" for question in questions}
        confidence = dict.fromkeys(predictions, 0.0)
        for id_, (answer, share) in zip(ids, found, strict=True):
            predictions[id_], confidence[id_] = answer, share
        given = beside | {"chosen": chosen}
        score = scoring.score_answers(predictions, questions, options, confidence, given)
        score = with_form(score, questions) if options.metrics is None else score
        return score._replace(scores=score.scores | about | {"answer_loss": loss.mean()})

    whole = scored(best, loss, chosen)
    if not of_prior:
        return whole
    return whole._replace(prior=scored(of_prior, prior_loss, chosen_by_prior))


def likeliest_choices(
    logits: Tensor,
    questions: Sequence[int],
    choices: Mapping[int, Sequence[str]],
    answers: AnswerList,
) -> dict[int, str]:
    """The choice with the highest of `logits (B, answers)`, as it is offered, of each question that
    offers any; none where the answer list has none of them.
    """
    if not choices:
        return {}
    found, scores = {}, logits.cpu()
    for question, row in zip(questions, scores, strict=True):
        offered = choices.get(question, ())
        listed = {id_: choice for choice in offered for id_ in answers.encode([choice])[0]}
        if listed:
            found[question] = [*listed.values()][int(row[[*listed]].argmax())]
    return found


def score_texts(
    texts: Mapping[int, str],
    folder: DataFolder,
    split: Split,
    options: scoring.ScoreOptions = scoring.ALL,
) -> scoring.ScoredExamples:
    """Score answers that came without their model, and what their spelling costs."""
    questions = answered_questions(folder, split)
    beside = options.beside("vqa", folder)
    return with_form(scoring.score_answers(texts, questions, options, beside=beside), questions)


def with_form(
    scored: scoring.ScoredExamples, questions: Sequence[Question]
) -> scoring.ScoredExamples:
    """The scores, and what the form of the answers costs, as `not_normalised`."""
    scores = scored.scores
    form = cost_of_form(scored.rows["answer"], questions, scores["revision"])
    if "points_lost" in form:
        form["accuracy_normalised"] = scores["accuracy"] + form["points_lost"]
    return scored._replace(scores=scores | {"not_normalised": form})


def check_validation(folder: DataFolder, metric: str | None, revision: str) -> str:
    """How the answers of the validation split will be judged, where that is to be known.

    Raises BadData where it has no answers, or cannot be scored by a metric.
    """
    questions = answered_questions(folder, "val")
    if metric is not None:
        none = {question.id: "" for question in questions}
        options = scoring.ScoreOptions((metric,), revision=revision)
        given = dict.fromkeys(none, 0.0), options.beside("vqa", folder)
        scored = scoring.score_answers(none, questions, options, *given)
        scoring.selected_score(scored, metric)
    changed = changed_unanimous(question.answers for question in questions)
    example = next(iter(changed), "")
    never = f"by the official {OFFICIAL} nothing normalised is right for {changed.total():,} "
    never += f"validation questions to which all wrote the same, such as {example!r}"
    if revision == ALWAYS:
        end = f"; {never}" if changed else ""
        return f"Scored by revision {ALWAYS}, which normalises both sides{end}."
    return f"Scored as published: {never}." if changed else ""


def upper_bound(questions: Sequence[Question], answers: AnswerList, revision: str) -> float:
    """Accuracy of always giving the best of the listed answers, in per cent."""

    forms = set(map(comparable_answer, answers.answers))

    def best(question: Question) -> float:
        listed = [answers.answers[id_] for id_ in answers.encode(question.answers)[0]]
        if revision == ALWAYS:  # "yes" of a list made elsewhere is right where people wrote "Yes"
            listed = [one for one in set(question.answers) if comparable_answer(one) in forms]
        scores = (vqa_accuracy_of(answer, question.answers, revision) for answer in listed)
        return max(scores, default=0.0)

    return 100 * sum(map(best, questions)) / len(questions)


def details(scored: scoring.ScoredExamples, folder: DataFolder, split: Split) -> scoring.Scores:
    """Calibration curves, where there are confidences; which answers were confused, where a
    question has but one; the scorer.
    """
    questions, rows, found = folder.questions(split), scored.rows, scoring.Scores()
    if not np.isnan(rows["confidence"]).any():
        calibration = calibration_score(rows["confidence"], rows["accuracy"])
        bins = [bin_._asdict() for bin_ in calibration.bins if bin_.answers]
        curves = {"bins": bins, "coverage": calibration.coverage, "risk": calibration.risk}
        found["calibration"] = curves
    if all(len(question.answers) == 1 for question in questions):
        predicted = map(comparable_answer, rows["answer"])
        true = [comparable_answer(question.answers[0]) for question in questions]
        pairs = sorted(Counter(zip(true, predicted, strict=True)).items())
        found["confusion"] = [
            {"ground_truth": t, "prediction": p, "questions": n} for (t, p), n in pairs
        ]
    return found | {"scorer": scorer(folder, split, scored.scores["revision"])}


def scorer(folder: DataFolder, split: Split, revision: str) -> str:
    """Whose rules the scores follow; the official ones have none for a single human answer."""
    alone = {len(question.answers) == 1 for question in folder.questions(split)}
    if alone == {True}:
        return "equal after normalisation to the single human answer, which has no official rule"
    mixed = "; single answers: equal after normalisation" if True in alone else ""
    by = "both sides always normalised" if revision == ALWAYS else f"revision {revision}"
    return f"GT-Vision-Lab/VQA vqaEval.py, {by}{mixed}"
