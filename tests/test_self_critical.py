"""Self-critical training: rewards, the loss, its gradient, and that it makes captions better."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from saccade.config import SelfCritical, change
from saccade.core.errors import SaccadeError
from saccade.core.tensors import load_tensors
from saccade.data.batch import CaptionBatch
from saccade.data.examples import ImageExamples
from saccade.evaluation.scoring import ScoreOptions
from saccade.evaluation.tasks import TASKS
from saccade.experiment import assemble
from saccade.inference.decoding import Rules, draw, rules_of
from saccade.inference.model import load_model
from saccade.metrics.cider import CiderOfIds, Sentences, corpus_cider, document_frequencies
from saccade.models.catalogue import MODELS, build_model
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.objectives import (
    advantage,
    cider_of,
    greedy_sentences,
    objective_for,
    references,
    sampled_sentences,
    self_critical,
)
from saccade.training.optim import ScheduleState
from saccade.training.train import train
from tests.captioner_checks import SIZES, caption_batch
from tests.oracles import self_critical as oracle
from tests.worlds import make_world, write_pixels

QUIET = Console(quiet=True)
NOW = ScheduleState(0, 0)
START, END, PAD = 11, 12, 0
RULES = Rules(start=START, end=END, max_length=7, banned=(PAD, START))
CAPTIONERS = [name for name, entry in MODELS.items() if entry.task == "caption"]


def small(name: str, *changes: str):
    """A small captioner without dropout, so that two passes see the same."""
    config = MODELS[name].small
    off = {field: 0.0 for field in type(config).model_fields if "dropout" in field}
    torch.manual_seed(1)
    model = build_model(config.model_copy(update=off), SIZES).double()
    for parameter in model.parameters():  # surer of itself, so that captions end and differ
        parameter.data *= 1.5
    return model


def sentences(captions: list[list[int]], images: list[int]) -> Sentences:
    words = np.array([word for caption in captions for word in caption], np.int64)
    return Sentences(words, np.array([len(c) for c in captions]), np.array(images))


words = st.lists(st.integers(0, 5), max_size=9)


@given(
    st.lists(st.lists(words.filter(bool), min_size=1, max_size=3), min_size=2, max_size=5),
    st.data(),
)
def test_cider_of_ids_is_cider_of_the_ids_as_words(human, data):
    """With the frequencies of a whole corpus, of which some images are spoken about."""
    vocabulary = 8  # two words more than any reference has
    number = st.integers(0, len(human) - 1)
    said = st.lists(st.integers(0, vocabulary - 1), max_size=9)
    about = data.draw(st.lists(st.tuples(number, said), min_size=1, max_size=6))
    names = [7 * i + 3 for i in range(len(human))]

    def laid_out(images):
        return sentences(
            [c for i in images for c in human[i]], [names[i] for i in images for _ in human[i]]
        )

    cider = CiderOfIds.of(laid_out(range(len(human))), vocabulary)
    found = cider.score(
        sentences([caption for _, caption in about], [names[i] for i, _ in about]),
        laid_out(sorted({i for i, _ in about})),
    )

    def spelt(captions):
        return [[f"w{word}" for word in caption] for caption in captions]

    expected = corpus_cider(
        spelt(caption for _, caption in about),
        [spelt(human[i]) for i, _ in about],
        frequencies=document_frequencies(spelt(captions) for captions in human),
    )
    np.testing.assert_allclose(found, expected.per_example, rtol=0, atol=1e-9)
    corpus = oracle.Corpus(dict(enumerate(human)))
    plain = [corpus.cider_d(caption, human[i]) for i, caption in about]
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-9)


def test_a_sample_is_compared_with_the_greedy_caption_or_with_the_others():
    scores = torch.tensor([1.0, 2.0, 6.0, 0.0, 3.0, 0.0, 0.5, 4.0])
    greedy = advantage(scores, 2, 3, greedy=True)
    assert greedy.tolist() == [[0.5, 1.5, 5.5], [-4.0, -1.0, -4.0]]
    others = advantage(scores[:6], 2, 3, greedy=False)
    assert others.tolist() == [[-3.0, -1.5, 4.5], [-1.5, 3.0, -1.5]]


def human_of(batch: CaptionBatch) -> dict[int, list[list[int]]]:
    """Each image's captions as plain lists, from behind the start word to the end word."""
    found: dict[int, list[list[int]]] = {}
    for i, row, length in zip(
        batch.image.tolist(), batch.caption.tolist(), batch.caption_length.tolist(), strict=True
    ):
        found.setdefault(i, []).append(row[1:length])
    return found


def read_log_p(model, batch, image, caption):
    """Log p of a caption's words as `forward` reads them, all at once: another way than `step`."""
    alone = CaptionBatch(
        regions=batch.regions[image : image + 1],
        region_mask=batch.region_mask[image : image + 1],
        image=torch.tensor([0]),
        caption=torch.tensor([[START, *caption]]),
        caption_length=torch.tensor([len(caption) + 1]),
    )
    log_p = model(alone).logits.log_softmax(dim=1)
    log_p = log_p.index_fill(1, torch.tensor([PAD, START]), -torch.inf)
    return log_p[range(len(caption)), caption]


def greedy_words(model, batch, image):
    said: list[int] = []
    while len(said) < RULES.max_length and END not in said:
        with torch.no_grad():
            said.append(int(read_log_p_of_next(model, batch, image, said).argmax()))
    return said


def read_log_p_of_next(model, batch, image, said):
    """Log p of each word as the last one of a caption, all those captions read together."""
    count = SIZES.words
    captions = torch.tensor([[START, *said, word] for word in range(count)])
    alone = CaptionBatch(
        regions=batch.regions[image : image + 1],
        region_mask=batch.region_mask[image : image + 1],
        image=torch.zeros(count, dtype=torch.int64),
        caption=captions,
        caption_length=torch.full((count,), captions.shape[1]),
    )
    last = model(alone).logits[-count:].clone()  # time first: the last words stand at the end
    last[:, [PAD, START]] = -torch.inf
    return last.log_softmax(dim=1).diagonal()


def trimmed(row: list[int]) -> list[int]:
    return row[: row.index(END) + 1] if END in row else row


@pytest.mark.parametrize("baseline", ["greedy", "others"])
@pytest.mark.parametrize("name", CAPTIONERS)
def test_the_loss_and_its_gradient_are_those_written_out(name, baseline):
    model, batch = small(name).train(), caption_batch()
    human = human_of(batch)
    config = SelfCritical(samples=4, baseline=baseline)
    corpus = sentences(
        [c for some in human.values() for c in some], [i for i in human for _ in human[i]]
    )
    objective = self_critical(config, RULES, CiderOfIds.of(corpus, SIZES.words))
    torch.manual_seed(5)
    ours = objective(model, batch, NOW).loss
    ours.backward()
    assert model.training
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    torch.manual_seed(5)
    drawn = draw(model, batch.regions, batch.region_mask, RULES, samples=4).words
    samples = {i: [trimmed(row) for row in drawn[i].tolist()] for i in range(3)}
    assert any(END in caption for some in samples.values() for caption in some)
    expected = oracle.loss(
        oracle.Corpus(human),
        samples,
        lambda image, caption: read_log_p(model, batch, image, caption),
        {i: greedy_words(model, batch, i) for i in range(3)} if baseline == "greedy" else None,
    )
    assert abs(expected.item()) > 1e-3, "equal rewards would show nothing"
    torch.testing.assert_close(ours.detach(), expected.detach(), rtol=0, atol=1e-9)
    expected.backward()
    for n, parameter in model.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().max() > 0:
            torch.testing.assert_close(gradients[n], parameter.grad, rtol=0, atol=1e-9, msg=n)


def test_drawn_captions_stop_at_their_end_word():
    model, batch = small("show_attend_tell"), caption_batch()
    torch.manual_seed(0)
    drawn = draw(model, batch.regions, batch.region_mask, RULES, samples=40)
    assert drawn.words.shape == drawn.log_probability.shape == (3, 40, drawn.words.shape[2])
    lengths = set()
    for words, log_p, length in zip(
        drawn.words.flatten(0, 1).tolist(),
        drawn.log_probability.flatten(0, 1).tolist(),
        drawn.length.flatten().tolist(),
        strict=True,
    ):
        assert trimmed(words) == words[:length]
        assert set(words[length:]) <= {END}
        assert all(x < 0 for x in log_p[:length])
        assert not any(log_p[length:])
        assert not {PAD, START} & set(words)
        lengths.add(length)
    assert {1, RULES.max_length} <= lengths, "some end at once, some never"


def test_a_forbidden_end_word_behind_a_caption_harms_nothing():
    """What stands behind a caption is not judged, even where the rules forbid it there."""
    model, batch = small("show_tell"), caption_batch()
    rules = replace(
        RULES, no_repeat_ngram_size=1
    )  # no word twice, so the end word is forbidden behind itself
    torch.manual_seed(0)
    drawn = draw(model, batch.regions, batch.region_mask, rules, samples=8)
    assert torch.isfinite(drawn.log_probability).all()
    drawn.log_probability.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# From a run that has learnt a little, on a small world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data")


def taught(name: str, *changes: str):
    recipe = RECIPES[f"{name}-small"]
    for assignment in ("train.epochs=6", "train.batch_size=16", *changes):
        recipe = change(recipe, assignment)
    return recipe


def refined(name: str, *changes: str):
    ways = ("train.self_critical=on", "train.optimiser.learning_rate=1e-3", "train.select_by=cider")
    return taught(name, *ways, "train.batch_size=10", *changes)


@pytest.fixture(scope="module")
def begun(world, tmp_path_factory):
    """A captioner that has learnt from human words, briefly."""
    out = tmp_path_factory.mktemp("begun") / "run"
    train(taught("up-down", "train.epochs=3"), world.path, out, console=QUIET)
    return out


def drawn_reward(run, recipe, world) -> float:
    """Mean CIDEr-D of captions drawn of all training images."""
    examples = TASKS["caption"].examples(assemble(recipe, world), "train")
    batch = examples.batch(np.arange(len(examples))).to("cpu")
    rules = rules_of(examples.captions.vocabulary, recipe.decode)
    torch.manual_seed(0)
    with torch.inference_mode():
        drawn = draw(load_model(open_run(run)), batch.regions, batch.region_mask, rules, samples=5)
    return float(cider_of(examples).score(sampled_sentences(drawn), references(batch)).mean())


@pytest.mark.parametrize("baseline", ["greedy", "others"])
def test_a_few_steps_raise_the_reward_and_the_score(world, begun, tmp_path, baseline):
    recipe = refined("up-down", f"train.self_critical.baseline={baseline}")
    first = TASKS["caption"].score_model(
        load_model(open_run(begun)),
        assemble(recipe, world),
        "val",
        torch.device("cpu"),
        ScoreOptions(beam_size=1),
    )
    scores = train(recipe, world.path, tmp_path / "run", start=begun, console=QUIET)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [4, 8, 12, 16, 20, 24], "10 of 40 images a step"
    assert {row["metric"] for row in log} == {"cider"}
    assert max(row["scores"]["cider"] for row in log) == scores["cider"]
    before, after = (drawn_reward(run, recipe, world) for run in (begun, tmp_path / "run"))
    assert after > before + 0.5, (before, after)
    assert scores["cider"] > first.scores["cider"] + 0.5


def test_resuming_in_the_middle_of_an_epoch_changes_nothing(world, begun, tmp_path, monkeypatch):
    recipe = refined("up-down", "train.epochs=2")
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(recipe, world.path, straight, start=begun, console=QUIET)
    steps = 0

    def interrupt(view, progress):
        nonlocal steps
        steps += 1
        if steps == 6:  # within the second epoch
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, world.path, stopped, start=begun, console=QUIET)
    torch.manual_seed(99)
    train(recipe, world.path, stopped, resume=True, console=QUIET)
    theirs, ours = (
        load_tensors(run / "last" / "state.safetensors")[0] for run in (straight, stopped)
    )
    assert all(torch.equal(value, ours[key]) for key, value in theirs.items())


def test_an_epoch_takes_every_image_once_with_all_its_captions(world):
    examples = TASKS["caption"].examples(assemble(refined("up-down"), world), "train")
    assert isinstance(examples, ImageExamples)
    assert len(examples) == 40
    batch = examples.batch(np.array([3, 11]))
    assert batch.regions.shape[0] == 2
    assert sorted(batch.image.tolist()) == [0, 0, 1, 1]
    said = examples.captions.vocabulary
    texts = {tuple(said.decode(row)) for row in batch.caption.tolist()}
    assert texts == {
        ("a", "fox", "on", "the", "grass"),  # images 3 and 11: 3 is not big, 11 is
        ("a", "big", "fox", "on", "the", "grass"),
    }
    human = references(batch)
    assert human.words[-1] == said.end
    assert said.start not in human.words


def test_the_document_frequencies_are_those_of_all_training_captions(world):
    examples = TASKS["caption"].examples(assemble(refined("up-down"), world), "train")
    cider, vocabulary = cider_of(examples), examples.captions.vocabulary
    assert cider.images == 40
    singles = dict(zip(cider.keys[0].tolist(), cider.having[0].tolist(), strict=True))
    assert singles[vocabulary.end] == singles[vocabulary.encode(["grass"])[0]] == 40
    assert singles[vocabulary.encode(["cat"])[0]] == 10
    assert vocabulary.start not in singles


def test_greedy_captions_are_judged_with_their_end_word():
    model, batch = small("show_tell").eval(), caption_batch()
    said = greedy_sentences(model, batch, RULES)
    rows = np.split(said.words, np.cumsum(said.length)[:-1])
    for image, row in enumerate(rows):
        assert row.tolist() == greedy_words(model, batch, image)


def test_mixed_precision_keeps_the_gradients(world, begun, tmp_path):
    """Autocast remembers copies of weights; those that greedy decoding made would have none."""
    recipe = refined("up-down", "train.epochs=1", "train.precision=bf16-mixed")
    train(recipe, world.path, tmp_path / "run", start=begun, console=QUIET)
    old = load_tensors(begun / "model.safetensors")[0]
    new = load_tensors(tmp_path / "run/last/state.safetensors")[0]
    same = [name for name, value in old.items() if torch.equal(value, new[f"model.{name}"])]
    assert same == []


def test_it_wants_a_captioner_that_speaks(world, tmp_path):
    with pytest.raises(SaccadeError, match="--from its run"):
        train(refined("up-down"), world.path, tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def test_an_encoder_learns_from_own_words_and_from_rewards(tmp_path):
    """Models say captions through it, too: scheduled sampling first, then self-critical."""
    world = make_world(tmp_path / "data", train=12, val=4)
    write_pixels(world)
    eye = ("encoder=timm:test_resnet", "encoder.weights=random", "encoder.trains_from=0")
    confidence = (
        "train.scheduled_sampling=on",
        "train.scheduled_sampling.increase_every=1",
        "train.epochs=2",
    )
    train(taught("up-down", *eye, *confidence), world.path, tmp_path / "a", console=QUIET)
    recipe = refined("up-down", *eye, "train.epochs=1")
    train(recipe, world.path, tmp_path / "b", start=tmp_path / "a", console=QUIET)
    first = load_tensors(tmp_path / "a/model.safetensors")[0]
    last = load_tensors(tmp_path / "b/last/state.safetensors")[0]
    moved = {n for n, value in first.items() if not torch.equal(value, last[f"model.{n}"])}
    assert {"encoder.model.conv1.0.weight", "model.output.weight"} <= moved


@pytest.mark.parametrize(
    ("name", "assignment", "message"),
    [
        ("mcan", "train.self_critical=on", "for captions"),
        ("show-attend-tell", "train.self_critical=on", "doubly_stochastic=0"),
        ("up-down-self-critical", "train.scheduled_sampling=on", "no human words"),
        ("up-down-self-critical", "train.self_critical.samples=0", "samples"),
        ("up-down", "train.self_critical=often", "on or none"),
        ("up-down", "train.select_by=accuracy", "bleu_1, bleu_2"),
        ("mcan", "train.select_by=cider", "none or one of accuracy"),
    ],
)
def test_settings_that_contradict_each_other(name, assignment, message):
    with pytest.raises(SaccadeError, match=message):
        change(RECIPES[name], assignment)


def test_one_sample_has_no_others():
    recipe = change(RECIPES["up-down-self-critical"], "train.self_critical.samples=1")
    with pytest.raises(SaccadeError, match="2 or more"):
        change(recipe, "train.self_critical.baseline=others")


def test_the_published_recipe_differs_in_its_training_alone():
    ours, theirs = RECIPES["up-down-self-critical"], RECIPES["up-down"]
    assert ours.model == theirs.model
    assert ours.text == theirs.text
    assert ours.train.self_critical == SelfCritical(samples=5, baseline="greedy")
    assert ours.train.optimiser.learning_rate == 5e-5


def test_training_mode_goes_on_after_the_greedy_look(world):
    recipe = refined("up-down")
    experiment = assemble(recipe, world)
    examples = TASKS["caption"].examples(experiment, "train")
    model = build_model(recipe.model, experiment.sizes).train()
    objective_for(recipe, examples)(model, examples.batch(np.arange(4)).to("cpu"), NOW)
    assert all(part.training for part in model.modules())
