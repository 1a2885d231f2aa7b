"""How a model is made to learn from a batch: what it does, and how wrong that was.

`objective_for(recipe, examples)` chooses. Nearly always a model reads the batch, captions word by
word from their human beginning (teacher forcing), and the loss compares. A captioner may also be
made to say captions word by word, without knowing of it: now and then it hears a word of its own
(scheduled sampling), or it is rewarded for whole captions that it drew (self-critical training).

Shapes: B captions, I images, K samples of each, T words, N words to say in the whole batch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.config import Recipe, ScheduledSampling, SelfCritical
from saccade.data.batch import (
    CaptionBatch,
    Captioner,
    CaptionOutput,
    CaptionState,
    VqaBatch,
    VqaOutput,
)
from saccade.data.examples import ImageExamples
from saccade.inference.decoding import Drawn, Hypothesis, Rules, beam_search, draw, rules_of
from saccade.metrics.cider import CiderOfIds, Sentences
from saccade.models.layers import rows_per_step
from saccade.models.losses import PER_QUESTION, Loss, caption_loss
from saccade.training.optim import ScheduleState

Objective = Callable[[Any, Any, ScheduleState], Tensor]
"""(model, batch, moment) -> scalar."""


def objective_for(recipe: Recipe, examples: Any) -> Objective:
    """What training with a recipe on its task's examples makes smaller."""
    config = recipe.train
    if config.self_critical is not None:
        assert isinstance(examples, ImageExamples)  # what the task makes of such a recipe
        assert recipe.decode is not None  # a captioning recipe cannot be built without
        rules = rules_of(examples.captions.vocabulary, recipe.decode)
        return self_critical(config.self_critical, rules, cider_of(examples))
    loss = loss_for(recipe)
    if config.scheduled_sampling is not None:
        return scheduled_sampling(config.scheduled_sampling, loss)

    def objective(model: Any, batch: Any, schedule_state: ScheduleState) -> Tensor:
        del schedule_state
        return loss(model(batch), batch)

    return objective


def scheduled_sampling(config: ScheduledSampling, loss: Loss) -> Objective:
    """The ordinary loss of captions of which some words were heard as the model said them."""

    def objective(model: Any, batch: CaptionBatch, schedule_state: ScheduleState) -> Tensor:
        probability = own_words(config, schedule_state.epoch)
        output = unroll(model, batch, probability) if probability else model(batch)
        return loss(output, batch)

    return objective


def own_words(config: ScheduledSampling, epoch: int) -> float:
    """How likely a captioner hears a word of its own, `epoch` epochs done."""
    steps = max(epoch - config.first_epoch, 0) // config.increase_every
    return min(config.increase_prob * steps, config.max_prob)


def unroll(model: Captioner, batch: CaptionBatch, probability: float) -> CaptionOutput:
    """Say the captions of a batch word by word; from the second word on each may hear, instead of
    the human word, one drawn from what it could have said there.

    The draw has no gradient. Images are looked at once each, so batch norm averages over
    images where `forward` may average over captions.
    """
    state = model.init_state(batch.regions, batch.region_mask).keep(batch.image)  # K = 1
    logits, targets = list[Tensor](), []
    rows = rows_per_step((batch.caption_length - 1).tolist(), batch.caption.shape[1] - 1)
    for t, n in enumerate(rows):  # captions stand longest first
        if not n:
            break
        words = batch.caption[:n, t]
        if t:
            own = (torch.rand(n, device=words.device) < probability).nonzero()[:, 0]
            if len(own):
                likely = logits[-1][own].detach().float().softmax(dim=-1)
                words = words.index_copy(0, own, torch.multinomial(likely, 1)[:, 0])
        said = model.step(words[:, None], first(n, state))
        state = said.state
        logits.append(said.logits[:, 0])
        targets.append(batch.caption[:n, t + 1])
    return CaptionOutput(torch.cat(logits), torch.cat(targets))


def first(n: int, state: CaptionState) -> CaptionState:
    """Go on with the first n rows, without copying them."""
    return CaptionState(*(tuple(part[:n] for part in parts) for parts in state))


def self_critical(config: SelfCritical, rules: Rules, cider: CiderOfIds) -> Objective:
    """Make drawn captions likelier whose CIDEr-D is better than a baseline's, and others less so.

    The references of an image are its captions in the batch, the end word included.
    """

    def objective(model: Any, batch: CaptionBatch, schedule_state: ScheduleState) -> Tensor:
        del schedule_state
        # Drawn first: mixed precision keeps copies of weights, and those that decoding without
        # gradients makes would have none.
        drawn = draw(model, batch.regions, batch.region_mask, rules, samples=config.samples)
        said = said_of(drawn)
        greedy = config.baseline == "greedy"
        if greedy:
            model.eval()
            said = Sentences.joined(said, greedily(model, batch, rules))
            model.train()
        scores = torch.from_numpy(cider.score(said, references(batch))).to(drawn.log_probability)
        reward = advantage(scores, *drawn.length.shape, greedy=greedy)
        return reward_loss(drawn, reward)

    return objective


def cider_of(examples: ImageExamples) -> CiderOfIds:
    """CIDEr-D with the document frequencies of all captions that are learnt from."""
    captions = examples.captions
    length = np.diff(captions.words.offsets.astype(np.int64))
    words = np.delete(captions.words.values, captions.words.offsets[:-1])  # without the start
    corpus = Sentences(words.astype(np.int64), length - 1, captions.image)
    return CiderOfIds.of(corpus, len(captions.vocabulary))


def references(batch: CaptionBatch) -> Sentences:
    """The human captions of a batch, from behind the start word to the end word."""
    length, image = batch.caption_length.cpu().numpy() - 1, batch.image.cpu().numpy()
    return Sentences.of(batch.caption[:, 1:].cpu().numpy(), length, image)


def said_of(drawn: Drawn) -> Sentences:
    """Drawn captions, image by image."""
    images, samples = drawn.length.shape
    words, length = drawn.words.flatten(0, 1).cpu().numpy(), drawn.length.flatten().cpu().numpy()
    return Sentences.of(words, length, np.repeat(np.arange(images), samples))


def greedily(model: Captioner, batch: CaptionBatch, rules: Rules) -> Sentences:
    """What a model says at its surest, one caption for each image of the batch."""
    hypotheses = beam_search(model, batch.regions, batch.region_mask, rules, beam_size=1)
    said = [whole(hypothesis, rules) for hypothesis in hypotheses]
    length = np.array([len(words) for words in said])
    return Sentences(np.concatenate(said), length, np.arange(len(said)))


def whole(hypothesis: Hypothesis, rules: Rules) -> np.ndarray:
    """A caption's word ids with the end word, where it was reached."""
    return np.array([*hypothesis.words, *([rules.end] if hypothesis.ended else [])], np.int64)


def advantage(scores: Tensor, images: int, samples: int, *, greedy: bool) -> Tensor:
    """How much better each sample is than what it is compared with: (I, K).

    `scores` are those of the samples, image by image, and then, with `greedy`, those of the
    greedy captions; else a sample is compared with the mean of its image's others.
    """
    own = scores[: images * samples].view(images, samples)
    if greedy:
        return own - scores[images * samples :, None]
    return own - (own.sum(dim=1, keepdim=True) - own) / (samples - 1)


def reward_loss(drawn: Drawn, reward: Tensor) -> Tensor:
    """Minus log p of every drawn word times its caption's reward (I, K), mean over words.

    Words count up to and including the first end word.
    """
    weighted = drawn.log_probability * reward[:, :, None]
    return -weighted.sum() / drawn.length.sum()


def loss_for(recipe: Recipe) -> Loss:
    """What training with a recipe makes smaller."""
    if recipe.answers is None:
        return caption_loss
    per_question, summed = PER_QUESTION[recipe.answers.loss], recipe.answers.summed

    def loss(output: VqaOutput, batch: VqaBatch) -> Tensor:
        losses = per_question(output, batch)
        return losses.sum() if summed else losses.mean()

    return loss
