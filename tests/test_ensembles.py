"""Ensembles: the mean of probabilities, made by training several seeds or of runs that exist."""

import json
import os
import shutil
import signal
from collections import Counter
from contextlib import contextmanager
from itertools import count, product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, BadRun
from saccade.core.tensors import load_tensors, save_tensors
from saccade.data.folder import DataFolder, write_folder
from saccade.data.folds import cut_images, write_fold
from saccade.data.records import Collection, ImageRecord, Question
from saccade.evaluation.summary import summary
from saccade.features.store import FeatureStore
from saccade.inference.decoding import Rules, beam_search, likeliest_answers
from saccade.inference.model import load_model
from saccade.inference.predictor import EncodedImage
from saccade.models.catalogue import MODELS, build_model
from saccade.models.ensemble import Ensemble, mean_logits
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.transfer.pack import pack
from tests.test_every_model import CAPTION, SIZES, VQA, batch_for
from tests.worlds import make_world, write_untrained_run

START, END = 9, 10


@contextmanager
def interrupted(monkeypatch, at):
    """Ctrl-C in a step of the trainings within, counted over all of them; it must end them."""
    steps = count(1)

    def interrupt(view, progress):
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("saccade.training.progress.TrainingView.step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield


def member(name, seed, sizes=SIZES):
    """A small model of a kind, sharp enough that captions differ."""
    torch.manual_seed(seed)
    model = build_model(MODELS[name].small, sizes).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.3)
    return model


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_two_predict_the_mean_of_their_probabilities(self, name):
        one, two, batch = member(name, 1), member(name, 2), batch_for(name)
        found = Ensemble([one, two])(batch)
        outputs = one(batch), two(batch)
        mean = sum(output.logits.double().softmax(-1) for output in outputs) / 2
        torch.testing.assert_close(found.logits.double().exp(), mean)
        if outputs[0].attention is not None:
            maps = (outputs[0].attention + outputs[1].attention) / 2
            torch.testing.assert_close(found.attention, maps)

    def test_one_alone_predicts_as_it_does(self, name):
        model, batch = member(name, 1), batch_for(name)
        if name in VQA:
            for logistic, loss in ((True, "logistic"), (False, "softmax")):
                both = Ensemble([model], logistic=logistic)(batch).logits, model(batch).logits
                ours, theirs = (likeliest_answers(logits, loss, top=7) for logits in both)
                assert torch.equal(ours[0], theirs[0])
                torch.testing.assert_close(ours[1], theirs[1])
        else:
            given = batch.regions, batch.region_mask, Rules(START, END, max_length=6)
            ours, theirs = (beam_search(m, *given) for m in (Ensemble([model]), model))
            assert [one.words for one in ours] == [one.words for one in theirs]


@pytest.mark.parametrize("name", CAPTION)
def test_one_search_over_both_finds_what_all_sentences_allow(name):
    """With a beam for each beginning the search is exhaustive: the best of all sentences of three
    words, by the mean of the members' probabilities after each beginning."""
    sizes = SIZES._replace(words=4)
    members = [member(name, seed, sizes) for seed in (1, 2)]
    batch = batch_for(name)
    rules = Rules(start=0, end=1, max_length=3, refill_beam=True)
    found = beam_search(Ensemble(members), batch.regions, batch.region_mask, rules, beam_size=64)
    for image, hypothesis in enumerate(found):
        regions, mask = batch.regions[image : image + 1], batch.region_mask[image : image + 1]
        sentences = [
            words
            for length in (1, 2, 3)
            for words in product(range(4), repeat=length)
            if 1 in words and words.index(1) == length - 1
        ]
        best = max((log_p_of(members, words, regions, mask), words) for words in sentences)
        assert (*hypothesis.words, 1) == best[1]
        assert hypothesis.log_probability == pytest.approx(best[0], abs=1e-4)


def log_p_of(members, words, regions, mask):
    """Of a sentence: each member reads it alone, and their probabilities are averaged."""
    told = []
    for one in members:
        state, shares = one.init_state(regions, mask), []
        for before, word in zip((0, *words), words, strict=False):
            step = one.step(torch.tensor([[before]]), state)
            state = step.state
            shares.append(step.logits[0, 0].double().softmax(0)[word])
        told.append(torch.stack(shares))
    return float(torch.stack(told).mean(dim=0).log().sum())


def test_the_mean_of_sigmoids_keeps_the_order_of_answers_that_are_nearly_certain():
    logits = (
        torch.tensor([[200.0, 210.0, -150.0, -140.0]]),
        torch.tensor([[200.0, 205.0, -150, -150]]),
    )
    found = mean_logits(logits, logistic=True)
    assert found.isfinite().all()
    assert found.argsort(descending=True).tolist() == [[1, 0, 3, 2]]
    small = torch.randn(2, 3, 4, dtype=torch.float64)
    expected = small.sigmoid().mean(dim=0)
    torch.testing.assert_close(mean_logits(tuple(small), logistic=True).sigmoid(), expected)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("world") / "data", train=40, val=8)
    for image in folder.images("val"):
        Image.new("RGB", (96, 64)).save(folder.image_root / image.file)
    return folder


def small(name, *changes):
    return change(RECIPES[f"{name}-small"], "train.epochs=2", "train.batch_size=16", *changes)


def untrained(world, recipe, out, seed):
    """A run whose weights are drawn by a seed."""
    run = write_untrained_run(world, recipe, out)
    about = json.loads((run / "run.json").read_text())
    about["recipe"]["train"]["seed"] = seed
    (run / "run.json").write_text(json.dumps(about))
    tensors, words = load_tensors(run / "model.safetensors")
    draw = torch.Generator().manual_seed(seed)
    for name, value in tensors.items():
        if value.is_floating_point():
            tensors[name] = value + 0.2 * torch.randn(value.shape, generator=draw)
    save_tensors(run / "model.safetensors", tensors, words)
    return run


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """Two runs and their ensemble, of each task."""
    root, made = tmp_path_factory.mktemp("runs"), {}
    for task, recipe in (("vqa", "show-ask-attend-answer"), ("caption", "show-attend-tell")):
        two = [untrained(world, f"{recipe}-small", root / f"{task}-{n}", n) for n in (1, 2)]
        made[task] = [*two, saccade.ensemble(two, root / task)]
    return made


@pytest.mark.parametrize("task", ["vqa", "caption"])
class TestARunLikeAnyOther:
    def test_it_holds_its_members(self, runs, task):
        *members, joined = runs[task]
        header = open_run(joined).header
        assert [one.seed for one in header.members] == [1, 2]
        assert [one.run for one in header.ancestors] == [str(run.resolve()) for run in members]
        for number, run in enumerate(members):
            own = load_model(open_run(run)).state_dict()
            held = load_model(open_run(joined)).members[number].state_dict()
            assert all(torch.equal(held[name], value) for name, value in own.items())

    def test_evaluate_and_compare(self, runs, task, tmp_path):
        *members, joined = runs[task]
        for run in runs[task]:
            scores = saccade.evaluate(run, split="val", device="cpu")
        assert [one["seed"] for one in scores["members"]] == [1, 2]
        page, *_ = saccade.compare(
            [*members, joined], tmp_path / "page.html", split="val", examples=0, device="cpu"
        )
        assert joined.name in page.read_text(encoding="utf-8")
        about = json.loads((joined / "scores.json").read_text())
        about["val"]["members"].pop()
        changed = tmp_path / "changed"
        changed.mkdir()
        for file in joined.iterdir():
            (changed / file.name).symlink_to(file)
        (changed / "scores.json").unlink()
        (changed / "scores.json").write_text(json.dumps(about))
        with pytest.raises(BadRun, match="other members"):
            saccade.compare([members[0], changed], tmp_path / "b.html", split="val", device="cpu")

    def test_predict_explain_and_pack(self, runs, task, tmp_path):
        joined, out = runs[task][-1], tmp_path / "predictions.json"
        saccade.predict(joined, out=out, split="val", device="cpu")
        assert json.loads(out.read_text())
        page = saccade.explain(joined, split="val", out=tmp_path / "page", limit=2, device="cpu")
        assert page.exists()
        packed = pack(joined, tmp_path / "pack").manifest.files
        assert {"run.json", "model.safetensors"} <= {one.name for one in packed}

    @torch.no_grad()
    def test_ask_and_caption(self, runs, task, world):
        """Of features as they were stored; answers are those of the mean, computed here."""
        *members, joined = map(saccade.load, runs[task])
        store = FeatureStore.open(world.store_path("cells"), images=world.images())
        regions, mask = map(torch.from_numpy, store.read(np.arange(4)))
        images = [
            EncodedImage(regions[i : i + 1].float(), mask[i : i + 1], np.zeros((6, 4)))
            for i in range(4)
        ]
        if task == "caption":
            assert all(one.text for one in joined.captions(images, beam_size=2))
            return
        questions = ["What is it?"] * 4
        for ours, *theirs in zip(
            *(run.answers(images, questions, top=99) for run in (joined, *members)), strict=True
        ):
            one, two = (dict(answer.top) for answer in theirs)
            mean = {text: (share + two[text]) / 2 for text, share in one.items()}
            assert dict(ours.top) == pytest.approx(mean, abs=1e-6)
            assert ours.text == max(mean, key=mean.get)
            maps = (theirs[0].attention + theirs[1].attention) / 2
            np.testing.assert_allclose(ours.attention, maps, atol=1e-6)


class TestMembersThatDoNotFit:
    @pytest.mark.parametrize(
        ("assignment", "field"),
        [
            ("model.hidden=32", "model.hidden"),
            ("text.max_length=3", "text.max_length"),
            ("answers.loss=logistic", "answers.loss"),
            ("answers.size=3", "answers.size"),
        ],
    )
    def test_the_setting_that_differs_is_named(self, world, runs, tmp_path, assignment, field):
        recipe = change(RECIPES["show-ask-attend-answer-small"], assignment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(RECIPES._lines, "show-ask-attend-answer-small", recipe)
            other = write_untrained_run(world, "show-ask-attend-answer-small", tmp_path / "other")
        self.refused([runs["vqa"][0], other], tmp_path / "out", field, other)

    @pytest.mark.parametrize(
        ("field", "change_it"),
        [
            ("fingerprint", lambda about: about.update(fingerprint="0" * 64)),
            ("backbone.name", lambda about: about["store"]["backbone"].update(name="timm:x")),
            ("preprocessing", lambda about: about["store"]["preprocessing"].update(height=32)),
        ],
    )
    def test_other_data_and_features(self, runs, tmp_path, field, change_it):
        other = self.copied(runs["vqa"][1], tmp_path / "other", "run.json", change_it)
        self.refused([runs["vqa"][0], other], tmp_path / "out", field, other)

    def test_other_words(self, runs, tmp_path):
        def swapped(words):
            words["answers"]["answers"].reverse()

        other = self.copied(runs["vqa"][1], tmp_path / "other", "words.json", swapped)
        self.refused([runs["vqa"][0], other], tmp_path / "out", "answers", other)

    def test_another_task_an_ensemble_and_the_same_twice(self, runs, tmp_path):
        one, two, joined = runs["vqa"]
        self.refused([one, runs["caption"][0]], tmp_path / "out", "model.kind", runs["caption"][0])
        self.refused([one, joined], tmp_path / "out", "ensemble", joined)
        self.refused([one, two, one], tmp_path / "out", "same weights", one)
        with pytest.raises(BadConfig):
            saccade.ensemble([one], tmp_path / "out")
        with pytest.raises(BadRun, match="already"):
            saccade.ensemble([one, two], joined)

    def test_no_run_starts_from_an_ensemble(self, runs, world, tmp_path):
        with pytest.raises(BadRun, match="ensemble") as told:
            saccade.train(
                "show-ask-attend-answer-small", world.path, tmp_path / "x", start=runs["vqa"][2]
            )
        assert told.value.location == str(runs["vqa"][2])

    @staticmethod
    def copied(run, out, name, change_it):
        shutil.copytree(run, out)
        about = json.loads((out / name).read_text())
        change_it(about)
        (out / name).write_text(json.dumps(about))
        return out

    @staticmethod
    def refused(members, out, named, location):
        with pytest.raises(BadRun, match=named) as told:
            saccade.ensemble(members, out)
        assert told.value.location == str(location)
        assert not (out / "run.json").exists()


class TestTrainingSeveralSeeds:
    def test_killed_within_the_second_and_resumed_it_is_what_it_would_have_been(
        self, world, tmp_path, monkeypatch
    ):
        recipe = small("ibowimg", "train.seed=4")
        straight, stopped = tmp_path / "straight", tmp_path / "stopped"
        given = {"device": "cpu", "watchdog": False, "changes": ["train.seed=4"], "seeds": 2}
        scores = saccade.train(recipe, world.path, straight, **given)
        with interrupted(monkeypatch, 14):  # of 10 in each member
            saccade.train(recipe, world.path, stopped, **given)
        assert not (stopped / "run.json").exists()
        with pytest.raises(BadRun, match="already"):
            saccade.train(recipe, world.path, stopped, **given)
        with pytest.raises(BadRun, match="ensemble"):
            saccade.train(recipe, world.path, stopped, **given | {"seeds": 1, "resume": True})
        other = given | {"changes": ["train.seed=5"], "resume": True}
        with pytest.raises(BadRun, match=r"train\.seed"):
            saccade.train(recipe, world.path, stopped, **other)
        assert saccade.train(recipe, world.path, stopped, resume=True, **given) == scores
        ours, theirs = (load_tensors(run / "model.safetensors")[0] for run in (straight, stopped))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
        # Each member is the run that its seed alone would have made.
        alone = tmp_path / "alone"
        saccade.train(
            change(recipe, "train.seed=5"), world.path, alone, device="cpu", watchdog=False
        )
        for name, value in load_tensors(alone / "model.safetensors")[0].items():
            assert torch.equal(value, ours[f"members.1.{name}"])
        header = open_run(straight).header
        assert [(one.seed, one.metric) for one in header.members] == [
            (4, "accuracy"),
            (5, "accuracy"),
        ]
        assert saccade.train(recipe, world.path, straight, resume=True, **given) == scores
        with pytest.raises(BadRun, match="already"):
            saccade.train(recipe, world.path, straight, device="cpu")

    def test_what_cannot_be_trained_so_is_refused_before(self, world, tmp_path):
        recipe = small("ibowimg")
        with pytest.raises(BadConfig):
            saccade.train(recipe, world.path, tmp_path / "x", seeds=0)
        with pytest.raises(BadRun, match="no ensemble"):
            saccade.train(recipe, world.path, tmp_path / "x", seeds=2, resume=True)
        last = change(recipe, f"train.seed={2**64 - 1}")
        with pytest.raises(BadConfig, match="seeds"):
            saccade.train(last, world.path, tmp_path / "x", seeds=2, device="cpu")
        assert not (tmp_path / "x").exists()

    def test_more_seeds_than_before_are_added(self, world, tmp_path):
        recipe, run = small("ibowimg"), tmp_path / "run"
        given = {"device": "cpu", "watchdog": False}
        saccade.train(recipe, world.path, run, seeds=2, **given)
        saccade.train(recipe, world.path, run, seeds=3, resume=True, **given)
        assert [one.seed for one in open_run(run).header.members] == [0, 1, 2]


class TestFolds:
    def test_each_image_is_validated_once_with_all_that_belongs_to_it(self, world, tmp_path):
        cut = cut_images(world, 3, seed=1)
        assert sorted(cut) == sorted(image.id for image in world.images())
        assert sorted(Counter(cut.values()).values()) == [16, 16, 16]
        assert cut != cut_images(world, 3, seed=2)
        for fold in (1, 2, 3):
            part = write_fold(world, tmp_path / f"fold-{fold}", cut, fold)
            held_out = {image for image, number in cut.items() if number == fold}
            for split, images in (("val", held_out), ("train", set(cut) - held_out)):
                assert {image.id for image in part.images(split)} == images
                assert {one.image_id for one in part.questions(split)} == images
                assert {one.image_id for one in part.captions(split)} == images
            assert part.stores() == world.stores()
        with pytest.raises(BadConfig, match="folds"):
            cut_images(world, 49, seed=1)

    def test_records_of_the_test_split_stay_where_they_are(self, tmp_path):
        """Also where splits divide the records of an image, as those of VQA-RAD do."""
        images = [ImageRecord(i, f"{i}.png", "test" if i > 3 else "train") for i in range(6)]
        splits = ["train", "val", "test", "train", "test", "train"]
        given = ("yes",), "yes", "", ""
        questions = [Question(i, i, "Is it?", split, *given) for i, split in enumerate(splits)]
        write_folder(tmp_path / "data", Collection("x", str(tmp_path), images, questions))
        folder = DataFolder(tmp_path / "data")
        cut = cut_images(folder, 2, seed=0)
        assert sorted(cut) == [0, 1, 3, 5]
        part = write_fold(folder, tmp_path / "fold", cut, 1)
        assert [one.id for one in part.questions("test")] == [2, 4]
        assert {one.id for one in part.questions("val")} == {i for i in cut if cut[i] == 1}

    def test_a_run_for_each_and_one_of_all(self, world, tmp_path, monkeypatch):
        recipe = small("ibowimg")
        straight, stopped = tmp_path / "straight", tmp_path / "stopped"
        given = {"device": "cpu", "watchdog": False, "folds": 2}
        scores = saccade.train(recipe, world.path, straight, **given)
        with interrupted(monkeypatch, 8):  # of 6 in each member
            saccade.train(recipe, world.path, stopped, **given)
        with pytest.raises(BadRun, match="other records"):
            saccade.train(recipe, world.path, stopped, **given | {"folds": 3, "resume": True})
        assert saccade.train(recipe, world.path, stopped, resume=True, **given) == scores
        ours, theirs = (load_tensors(run / "model.safetensors")[0] for run in (straight, stopped))
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
        header = open_run(straight).header
        assert [one.fold for one in header.members] == [1, 2]
        assert header.fingerprint == world.fingerprint
        assert scores["accuracy"] == pytest.approx(np.mean([one.score for one in header.members]))
        for fold in (1, 2):
            member = open_run(straight / f"members/fold-{fold}")
            assert len(DataFolder(Path(member.header.data)).images("val")) == 24
            assert member.words == open_run(straight).words

    def test_no_score_on_what_it_has_learnt_from_counts_as_held_out(self, world, tmp_path):
        run, given = tmp_path / "run", {"device": "cpu", "watchdog": False, "folds": 2}
        saccade.train(small("ibowimg"), world.path, run, **given)
        for split in ("train", "val"):
            scores = saccade.evaluate(run, split=split, device="cpu")
            assert scores["trained_on_this_split"] is True
            assert scores["selected_on_this_split"] is True
            assert scores["folds"] == 2
            assert any("no result" in line for line in summary(scores))
        names = [one.name for one in pack(run, tmp_path / "pack").manifest.files]
        assert "members/fold-2/run.json" in names
        assert not [name for name in names if "features" in name]
        with pytest.raises(BadConfig, match="folds"):
            saccade.train(small("ibowimg"), world.path, tmp_path / "x", folds=1)
        with pytest.raises(BadConfig, match="seeds"):
            saccade.train(small("ibowimg"), world.path, tmp_path / "x", folds=2, seeds=2)
