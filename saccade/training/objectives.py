"""Training objectives: from a model and a batch to the scalar that training minimises.

`objective_for(recipe, examples)` chooses. Nearly always it is the loss of one `forward`, for
captions under teacher forcing (each word is predicted from the human words before it). A captioner
can also be trained with some of its own words as input (scheduled sampling, Bengio et al. 2015,
arXiv:1506.03099), or with the CIDEr-D of whole sampled captions as reward (self-critical sequence
training, Rennie et al. 2017, arXiv:1612.00563).

Shapes: B captions, I images, K samples per image, T words, N target words of the whole batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.config import Recipe, ScheduledSampling, SelfCritical
from saccade.data.batch import CaptionBatch, Captioner, CaptionOutput, VqaBatch, VqaOutput
from saccade.data.examples import ImageExamples, VqaExamples
from saccade.evaluation.teacher_forcing import words_among_likeliest
from saccade.inference.decoding import Rules, SampledCaptions, beam_search, draw, rules_of
from saccade.metrics.cider import CiderOfIds, Sentences
from saccade.models.layers import pack_captions
from saccade.models.losses import PER_QUESTION, Loss, caption_loss, prior_entropy, targets
from saccade.text.vocabulary import Vocabulary
from saccade.training.optim import ScheduleState


class StepResult(NamedTuple):
    """What one training step computes: its loss, and how well its batch was predicted."""

    loss: Tensor  # scalar, to be minimised
    score: Tensor  # scalar, the sum over `scored` predictions of what `train_metric` names
    scored: int
    answered: Tensor | None = None  # (2, B): likeliest and human answer, where each has one alone
    penalty: Tensor | None = None  # scalar, what of the loss is a captioner's own penalty


Objective = Callable[[Any, Any, ScheduleState], StepResult]
"""(model, batch, schedule state) -> what the step computes."""


class TrainMetric(NamedTuple):
    """The training score of a recipe."""

    title: str
    unit: str


def train_metric(recipe: Recipe) -> TrainMetric:
    """The training score of a recipe, which costs no second pass through the model.

    It is of the batches as they are trained on: with dropout, and while the weights change. So it
    stands a little below what the weights of the epoch's end would reach on the training split.
    """
    if recipe.train.self_critical is not None:
        return TrainMetric("CIDEr-D of samples", " points")
    return TrainMetric("top-1" if recipe.answers is not None else "top-5", "%")


@torch.no_grad()
def answers_on_top(output: VqaOutput, batch: VqaBatch) -> tuple[Tensor, int]:
    """How many questions have one of their best human answers as the likeliest, and of how many.

    The best are those of the highest weight, which several may share.
    """
    answers, weights = targets(batch)
    best = (weights > 0) & (weights == weights.amax(dim=1, keepdim=True))
    on_top = best & (answers == output.logits.argmax(dim=1, keepdim=True))
    return on_top.any(dim=1).sum(), len(answers)


@torch.no_grad()
def words_on_top(output: CaptionOutput, _batch: CaptionBatch) -> tuple[Tensor, int]:
    """How many human words are among the five likeliest of their place, and of how many."""
    return words_among_likeliest(output.logits, output.targets), len(output.targets)


def objective_for(recipe: Recipe, examples: Any) -> Objective:
    """The objective that a recipe minimises on its task's examples."""
    config = recipe.train
    if config.self_critical is not None:
        assert isinstance(examples, ImageExamples)  # as `caption_examples` makes them
        assert recipe.decode is not None  # a captioning recipe cannot be built without
        rules = rules_of(examples.captions.vocabulary, recipe.decode)
        return self_critical(config.self_critical, rules, cider_of(examples))
    loss = loss_for(recipe)
    if config.scheduled_sampling is not None:
        return scheduled_sampling(config.scheduled_sampling, loss)
    score: Any = words_on_top if recipe.answers is None else answers_on_top
    dropped = recipe.text.word_dropout
    has_labels = isinstance(examples, VqaExamples) and examples.has_labels

    def objective(model: Any, batch: Any, schedule_state: ScheduleState) -> StepResult:
        del schedule_state
        if dropped:
            batch = without_words(batch, examples.vocabulary, dropped)
        output = model(batch)
        penalty = getattr(output, "penalty", None)
        result = StepResult(loss(output, batch), *score(output, batch))._replace(penalty=penalty)
        if not has_labels:
            return result
        return result._replace(answered=torch.stack([output.logits.argmax(1), batch.answers[:, 0]]))

    return objective


def without_words(batch: VqaBatch, vocabulary: Vocabulary, probability: float) -> VqaBatch:
    """A batch in whose questions each word is, with that probability, the unknown word. What is no
    word (padding, the marks of a language model) stays."""
    question = batch.question
    special = torch.tensor(sorted(vocabulary.special), device=question.device)
    drawn = torch.rand(question.shape, device=question.device) < probability
    chosen = drawn & torch.isin(question, special, invert=True)
    return replace(batch, question=question.masked_fill(chosen, vocabulary.unknown))


def scheduled_sampling(config: ScheduledSampling, loss: Loss) -> Objective:
    """The loss under teacher forcing, with some input words replaced by the model's own."""

    def objective(model: Any, batch: CaptionBatch, schedule_state: ScheduleState) -> StepResult:
        probability = sampling_probability(config, schedule_state.epoch)
        output = unroll(model, batch, probability) if probability else model(batch)
        result = StepResult(loss(output, batch), *words_on_top(output, batch))
        return result._replace(penalty=output.penalty)

    return objective


def sampling_probability(config: ScheduledSampling, epoch: int) -> float:
    """Probability that an input word is the model's own, after `epoch` epochs."""
    steps = max(epoch - config.first_epoch, 0) // config.increase_every
    return min(config.increase_prob * steps, config.max_prob)


def unroll(model: Captioner, batch: CaptionBatch, probability: float) -> CaptionOutput:
    """Decode the captions of a batch step by step; from the second word on each input word is,
    with that probability, sampled from the model's prediction instead of the human word.

    Sampling has no gradient. Each image is encoded once, so batch norm averages over images where
    `forward` may average over captions.
    """
    state = model.init_state(batch.regions, batch.region_mask).keep(batch.image)  # K = 1
    packed, targets = pack_captions(batch)
    logits = list[Tensor]()
    for t, n in enumerate(packed.batch_sizes.tolist()):  # captions stand longest first
        words = batch.caption[:n, t]
        if t:
            replaced = (torch.rand(n, device=words.device) < probability).nonzero()[:, 0]
            if len(replaced):
                predicted = logits[-1][replaced].detach().float().softmax(dim=-1)
                words = words.index_copy(0, replaced, torch.multinomial(predicted, 1)[:, 0])
        output = model.step(words[:, None], state.keep(slice(n)))
        state = output.state
        logits.append(output.logits[:, 0])
    return CaptionOutput(torch.cat(logits), targets)


def self_critical(config: SelfCritical, rules: Rules, cider: CiderOfIds) -> Objective:
    """Policy gradient (REINFORCE) with CIDEr-D as reward, less a baseline: minus log p of every
    sampled word, up to and including the end word, times its caption's reward, mean over words.

    The references of an image are its captions in the batch, the end word included.
    """

    def objective(model: Any, batch: CaptionBatch, schedule_state: ScheduleState) -> StepResult:
        del schedule_state
        # Sampled before greedy decoding: autocast caches its copies of the weights, and those
        # made without gradients would have none.
        samples = draw(model, batch.regions, batch.region_mask, rules, samples=config.samples)
        captions = sampled_sentences(samples)
        greedy = config.baseline == "greedy"
        if greedy:
            model.eval()
            captions = Sentences.joined(captions, greedy_sentences(model, batch, rules))
            model.train()
        scores = cider.score(captions, references(batch))
        rewards = torch.from_numpy(scores).to(samples.log_probability)
        reward = advantage(rewards, *samples.length.shape, greedy=greedy)
        weighted = samples.log_probability * reward[:, :, None]
        loss = -weighted.sum() / samples.length.sum()  # the mean over words, end words included
        return StepResult(loss, rewards[: reward.numel()].sum(), reward.numel())

    return objective


def cider_of(examples: ImageExamples) -> CiderOfIds:
    """CIDEr-D with the document frequencies of all training captions."""
    captions = examples.captions
    offsets = captions.words.offsets[: len(captions) + 1]  # without those of mirrored images
    length = np.diff(offsets.astype(np.int64))
    words = captions.words.values[: offsets[-1]]
    words = np.delete(words, offsets[:-1])  # without the start
    corpus = Sentences(words.astype(np.int64), length - 1, captions.image)
    return CiderOfIds.of(corpus, len(captions.vocabulary))


def references(batch: CaptionBatch) -> Sentences:
    """The human captions of a batch, without the start word, with the end word."""
    length, image = batch.caption_length.cpu().numpy() - 1, batch.image.cpu().numpy()
    return Sentences.of(batch.caption[:, 1:].cpu().numpy(), length, image)


def sampled_sentences(drawn: SampledCaptions) -> Sentences:
    """Sampled captions, image by image."""
    images, samples = drawn.length.shape
    words, length = drawn.words.flatten(0, 1).cpu().numpy(), drawn.length.flatten().cpu().numpy()
    return Sentences.of(words, length, np.repeat(np.arange(images), samples))


def greedy_sentences(model: Captioner, batch: CaptionBatch, rules: Rules) -> Sentences:
    """Greedily decoded captions, one for each image of the batch."""
    hypotheses = beam_search(model, batch.regions, batch.region_mask, rules, beam_size=1)
    captions = [one.words + [rules.end] * one.ended for one in hypotheses]
    length = np.array([len(words) for words in captions])
    words = np.array([word for words in captions for word in words], np.int64)
    return Sentences(words, length, np.arange(len(captions)))


def advantage(scores: Tensor, images: int, samples: int, *, greedy: bool) -> Tensor:
    """Reward of each sample less its baseline: (I, K).

    `scores` are those of the samples, image by image, and then, with `greedy`, those of the
    greedy captions, which are the baseline; else it is the mean of the image's other samples.
    """
    own = scores[: images * samples].view(images, samples)
    if greedy:
        return own - scores[images * samples :, None]
    return own - (own.sum(dim=1, keepdim=True) - own) / (samples - 1)


class Counts(NamedTuple):
    """How large a batch is, by what its loss is a mean over."""

    examples: int
    losses: int
    """Questions, words, or, where training is self-critical, images."""
    regions: int
    """Of all captions: a model's own penalty is a mean over them."""


class Shares:
    """How the losses of several batches, and of the parts of one, make that of one step.

    A mean is the mean of the parts' means only if each counts by its size; a sum is the sum of the
    sums.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.summed = recipe.answers is not None and recipe.answers.summed
        self.of_images = recipe.train.self_critical is not None

    def count(self, batch: Any) -> Counts:
        """The counts of a batch, or of a part of one."""
        if not isinstance(batch, CaptionBatch):
            return Counts(len(batch), len(batch), 0)
        words = int(batch.caption_length.sum()) - len(batch)  # the start word is no target
        regions = int(batch.region_mask.sum(dim=1)[batch.image].sum())
        return Counts(len(batch), len(batch.regions) if self.of_images else words, regions)

    def of_batches(self, batches: Sequence[Counts]) -> list[float]:
        """The factor of each batch's loss in that of all of them as one."""
        if self.summed:
            return [1.0] * len(batches)
        sizes = [batch.losses for batch in batches]
        return [part / sum(sizes) for part in sizes]

    def of_part(self, result: StepResult, own: Counts, whole: Counts) -> Tensor:
        """The part of a batch's loss that comes from a part of the batch: their sum is its loss."""
        if self.summed:
            return result.loss * (own.losses > 0)
        share = own.losses / whole.losses
        loss = result.loss * share
        if result.penalty is None:
            return loss
        return loss + result.penalty * (own.regions / whole.regions - share)


def loss_for(recipe: Recipe) -> Loss:
    """The loss of a recipe between a model's output and its batch."""
    smoothing = recipe.train.label_smoothing
    if recipe.answers is None:
        return partial(caption_loss, label_smoothing=smoothing) if smoothing else caption_loss
    kind, summed = recipe.answers.loss, recipe.answers.summed
    per_question = PER_QUESTION[kind]

    def loss(output: VqaOutput, batch: VqaBatch) -> Tensor:
        losses = per_question(output, batch, smoothing)
        if output.prior_logits is not None:  # an answer prior learns to be right without the image
            prior = VqaOutput(output.prior_logits)
            losses = losses + per_question(prior, batch, smoothing)
            losses = losses + prior_entropy(output, kind)
        return losses.sum() if summed else losses.mean()

    return loss
