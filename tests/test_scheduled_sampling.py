"""Scheduled sampling: when a captioner hears words of its own, and that nothing else changes."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from saccade.config import ScheduledSampling, change
from saccade.core.errors import SaccadeError
from saccade.core.tensors import load_tensors
from saccade.data.batch import CaptionState, DecoderOutput
from saccade.models.catalogue import MODELS, build_model
from saccade.models.losses import caption_loss
from saccade.recipes.catalogue import RECIPES
from saccade.training.objectives import sampling_probability, scheduled_sampling, unroll
from saccade.training.optim import ScheduleState
from saccade.training.train import train
from tests.captioner_checks import SIZES, caption_batch
from tests.worlds import make_world

CAPTIONERS = [name for name, entry in MODELS.items() if entry.task == "caption"]
QUIET = Console(quiet=True)


def small(name: str) -> torch.nn.Module:
    """A small captioner without dropout, so that two passes see the same."""
    config = MODELS[name].small
    off = {field: 0.0 for field in type(config).model_fields if "dropout" in field}
    if "doubly_stochastic" in type(config).model_fields:
        off["doubly_stochastic"] = 0.0
    torch.manual_seed(1)
    return build_model(config.model_copy(update=off), SIZES).double().train()


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=0, atol=1e-10, msg=name)


class Listening:
    """Remembers the words that a captioner hears at each step."""

    def __init__(self, model):
        self.model, self.heard = model, []

    def init_state(self, *image):
        return self.model.init_state(*image)

    def step(self, words, state):
        self.heard.append(words[:, 0].tolist())
        return self.model.step(words, state)


@pytest.mark.parametrize("pad_words", [0, 2])
@pytest.mark.parametrize("name", CAPTIONERS)
def test_without_own_words_it_is_teacher_forcing(name, pad_words):
    """Same logits in the same order, same targets, same loss, same whole gradient."""
    model, batch = small(name), caption_batch(pad_words=pad_words)
    read, said = model(batch), unroll(model, batch, 0.0)
    torch.testing.assert_close(said.logits, read.logits, rtol=0, atol=1e-10)
    assert torch.equal(said.targets, read.targets)
    caption_loss(read, batch).backward()
    theirs = gradients(model)
    caption_loss(said, batch).backward()
    assert_same(gradients(model), theirs)


@pytest.mark.parametrize("probability", [0.5, 1.0])
@pytest.mark.parametrize("name", CAPTIONERS)
def test_it_is_the_reading_of_what_was_heard(name, probability):
    """The human words are still what is to be said, and a draw has no gradient."""
    model, batch = small(name), caption_batch()
    listening = Listening(model)
    torch.manual_seed(2)
    said = unroll(listening, batch, probability)
    caption = batch.caption.clone()
    for t, words in enumerate(listening.heard):
        caption[: len(words), t] = torch.tensor(words)
    mixed = replace(batch, caption=caption)
    assert torch.equal(caption[:, 0], batch.caption[:, 0]), "the first word is the start word"
    changed = (caption != batch.caption).sum().item()
    assert changed > 4 if probability == 1 else 0 < changed < 14
    read = model(mixed)
    torch.testing.assert_close(said.logits, read.logits, rtol=0, atol=1e-10)
    assert torch.equal(said.targets, model(batch).targets)
    read.targets = said.targets
    caption_loss(read, mixed).backward()
    theirs = gradients(model)
    caption_loss(said, batch).backward()
    assert_same(gradients(model), theirs)


class Cautious(torch.nn.Module):
    """Always says word 3 or word 5, whatever it hears: one time in four word 5."""

    def init_state(self, regions, region_mask):
        del region_mask
        return CaptionState((), (regions.new_zeros(len(regions), 1),))

    def step(self, words, state):
        logits = torch.full((*words.shape, SIZES.words), -1e9)
        logits[..., 3], logits[..., 5] = torch.tensor([0.75, 0.25]).log()
        return DecoderOutput(logits, state)


def test_each_row_draws_by_itself_with_the_asked_probability():
    torch.manual_seed(0)
    batch = caption_batch()
    listening, heard = Listening(Cautious()), []
    for _ in range(1500):
        listening.heard.clear()
        unroll(listening, batch, 0.2)
        heard.append([word for words in listening.heard for word in words])
    heard = torch.tensor(heard)
    first_words = len(batch)
    human = torch.cat([batch.caption[: len(words), t] for t, words in enumerate(listening.heard)])
    assert torch.equal(heard[:, :first_words], human[:first_words].expand(1500, -1))
    later = heard[:, first_words:]
    clear = ~torch.isin(human[first_words:], torch.tensor([3, 5]))
    own = (later != human[first_words:])[:, clear].double()
    assert own.mean().item() == pytest.approx(0.2, abs=0.01)
    assert later[:, clear][own.bool()].eq(5).double().mean().item() == pytest.approx(0.25, abs=0.03)
    together = own[:, 0] * own[:, 1]
    assert together.mean().item() == pytest.approx(0.04, abs=0.015), "rows are independent"


@pytest.mark.parametrize(
    ("epoch", "probability"),
    [(0, 0.0), (4, 0.0), (5, 0.05), (9, 0.05), (10, 0.1), (25, 0.25), (29, 0.25), (500, 0.25)],
)
def test_the_published_schedule(epoch, probability):
    assert sampling_probability(ScheduledSampling(), epoch) == pytest.approx(probability)
    later = ScheduledSampling(first_epoch=7)
    assert sampling_probability(later, epoch + 7) == pytest.approx(probability)
    assert sampling_probability(later, 6) == 0


def test_before_its_first_epoch_a_model_simply_reads():
    model, batch = small("show_tell"), caption_batch()
    objective = scheduled_sampling(ScheduledSampling(), caption_loss)
    before = torch.get_rng_state()
    torch.testing.assert_close(
        objective(model, batch, ScheduleState(0, 4)).loss,
        caption_loss(model(batch), batch),
        rtol=0,
        atol=0,
    )
    assert torch.equal(torch.get_rng_state(), before), "no random number is used up"
    objective(model, batch, ScheduleState(0, 5))
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


def test_it_learns_and_resumes_exactly(world, tmp_path, monkeypatch):
    recipe = RECIPES["show-attend-tell-small"]
    for assignment in (
        "train.scheduled_sampling=on",
        "train.scheduled_sampling.increase_every=1",
        "train.scheduled_sampling.increase_prob=0.1",
        "train.batch_size=16",
        "train.epochs=4",
    ):
        recipe = change(recipe, assignment)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(recipe, world.path, straight, console=QUIET)
    log = [json.loads(line) for line in (straight / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    steps = 0

    def interrupt(view, progress):
        nonlocal steps
        steps += 1
        if steps == 8:  # within the second epoch
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, world.path, stopped, console=QUIET)
    torch.manual_seed(99)
    train(recipe, world.path, stopped, resume=True, console=QUIET)
    theirs, ours = (
        load_tensors(run / "last" / "state.safetensors")[0] for run in (straight, stopped)
    )
    assert all(torch.equal(value, ours[key]) for key, value in theirs.items())
    plain = change(recipe, "train.scheduled_sampling=none")
    train(plain, world.path, tmp_path / "plain", console=QUIET)
    others = load_tensors(tmp_path / "plain" / "last" / "state.safetensors")[0]
    assert not torch.equal(others["model.output.weight"], theirs["model.output.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("show-attend-tell", "doubly_stochastic=0"), ("joint-embedding", "for captions")],
)
def test_where_it_has_no_meaning_it_is_refused(name, message):
    with pytest.raises(SaccadeError, match=message):
        change(RECIPES[name], "train.scheduled_sampling=on")
