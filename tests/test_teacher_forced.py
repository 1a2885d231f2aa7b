"""Loss and top-5 accuracy on what is not learnt from, against a reading word by word."""

import json
from itertools import pairwise

import pytest
import torch
from rich.console import Console
from torch.nn import functional

from saccade.config import change
from saccade.data.batch import VqaBatch, VqaOutput
from saccade.evaluation.tasks import TASKS
from saccade.evaluation.teacher_forcing import AnswerLoss, read_captions
from saccade.experiment import assemble, captions_to_read, question_examples
from saccade.inference.model import load_model
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.train import train
from tests.worlds import make_world

QUIET = Console(quiet=True)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("read") / "data")


def learnt(world, out, name):
    recipe = RECIPES[name]
    for assignment in ("train.batch_size=16", "train.epochs=2"):
        recipe = change(recipe, assignment)
    train(recipe, world.path, out, name=name, console=QUIET)
    return open_run(out)


@pytest.mark.parametrize("name", ["show-attend-tell-small", "show-tell-small"])
def test_captions_are_read_as_word_by_word(world, tmp_path, name):
    run = learnt(world, tmp_path / "run", name)
    experiment, model = assemble(run.header.recipe, world), load_model(run)
    loss, likely, words = 0.0, 0, 0
    ids = experiment.words.vocabulary.encode_caption
    for caption in world.captions("val"):
        regions, mask = experiment.store.read(experiment.store.rows([caption.image_id]))
        with torch.inference_mode():
            state = model.init_state(torch.from_numpy(regions).float(), torch.from_numpy(mask))
            said = ids(caption.words)
            for heard, next_word in pairwise(said):
                step = model.step(torch.tensor([[heard]]), state)
                state, logits = step.state, step.logits[0, 0]
                loss -= float(logits.log_softmax(0)[next_word])
                likely += next_word in logits.topk(5).indices
                words += 1
    found = read_captions(model, captions_to_read(experiment, "val"), CPU, batch_size=5)
    assert found["words"] == words
    assert found["loss"] == pytest.approx(loss / words, rel=1e-5)
    assert found["top_5_accuracy"] == pytest.approx(100 * likely / words)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    best = max(log, key=lambda row: row["score"])
    assert best["scores"]["teacher_forced"] == pytest.approx(found, rel=1e-5)


def test_reading_adds_no_penalty_and_moves_nothing(world, tmp_path):
    """What a paper adds to the training loss would make models incomparable."""
    run = learnt(world, tmp_path / "run", "show-attend-tell-small")
    experiment, model = assemble(run.header.recipe, world), load_model(run)
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    examples = captions_to_read(experiment, "val")
    batch = examples.batch(torch.arange(len(examples)).numpy())
    with torch.inference_mode():
        output = model(batch.to(CPU))
    assert output.penalty is not None
    alone = float(functional.cross_entropy(output.logits, output.targets))
    assert read_captions(model, examples, CPU)["loss"] == pytest.approx(alone, rel=1e-5)
    assert torch.equal(torch.get_rng_state(), random), "a run resumed must not differ"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["show-ask-attend-answer-small", "joint-embedding-small"])
def test_answers_lose_what_training_would_on_the_same_questions(world, tmp_path, name):
    from saccade.training.objectives import loss_for

    run = learnt(world, tmp_path / "run", name)
    experiment, model = assemble(run.header.recipe, world), load_model(run)
    found = TASKS["vqa"].score_model(model, experiment, "val", CPU).scores["answer_loss"]
    examples = question_examples(experiment, "val")
    batch = examples.batch(torch.arange(len(examples)).numpy())
    with torch.inference_mode():
        loss = float(loss_for(run.header.recipe)(model(batch.to(CPU)), batch))
    per = len(examples) if run.header.recipe.answers.summed else 1
    assert found["loss"] == pytest.approx(loss / per, rel=1e-5)
    assert found["questions"] == len(examples)


def test_a_question_that_no_listed_answer_fits_is_not_counted():
    images = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    batch = VqaBatch(
        *images,
        image=torch.zeros(2, dtype=torch.int64),
        question=torch.ones(2, 1, dtype=torch.int64),
        question_length=torch.ones(2, dtype=torch.int64),
        answers=torch.tensor([[0, 1], [0, 0]]),
        answer_weights=torch.tensor([[0.25, 0.25], [0.0, 0.0]]),
    )
    output = VqaOutput(torch.tensor([[2.0, 1.0], [5.0, -5.0]]))
    log_p = output.logits[0].log_softmax(0)
    for kind, expected in (("softmax", -log_p.sum() / 4), ("sampled", -log_p.sum() / 2)):
        loss = AnswerLoss(kind)
        loss.add(output, batch)
        assert loss.mean() == {"loss": pytest.approx(float(expected)), "questions": 1}
    assert "not_measured" in AnswerLoss("softmax").mean()
