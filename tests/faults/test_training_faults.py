"""Settings and features that spoil a run: each is stopped or warned of, by its own name."""

import json
import shutil
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from saccade.config import change
from saccade.core.errors import BadConfig, BadRun, BadStore
from saccade.recipes.catalogue import RECIPES
from saccade.training.train import train
from tests.worlds import make_world

VQA, CAPTIONS = "show-ask-attend-answer", "show-attend-tell"
RATE = "train.optimiser.learning_rate"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Of 100 training questions and captions."""
    return make_world(tmp_path_factory.mktemp("world") / "data", train=50, val=12)


def run(folder, out, name=VQA, *changes, **options):
    """Train; returns what was printed and the names of the findings in the log."""
    recipe = RECIPES[f"{name}-small"]
    for one in ("train.batch_size=10", "train.epochs=3", *changes):
        recipe = change(recipe, one)
    console = Console(file=StringIO(), width=400)
    train(recipe, folder.path, out, device="cpu", console=console, **options)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return console.file.getvalue(), [one["name"] for row in log for one in row["findings"]]


class TestFeatures:
    @staticmethod
    def spoilt(world, tmp_path, images, value):
        """A copy of the data in which one number of some images' features is another."""
        shutil.copytree(world.path, tmp_path / "data")
        folder = type(world)(tmp_path / "data")
        file = folder.store_path("cells") / "features.npy"
        features = np.load(file)
        features[images, 2, 3] = value
        np.save(file, features)
        return folder

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("images", [[3], [3, 11, 20, 31, 49], [50], [50, 55]])
    @pytest.mark.parametrize("name", [VQA, CAPTIONS])
    def test_numbers_that_are_none_are_found_in_their_images(
        self, world, tmp_path, name, images, value
    ):
        """In training and in validation images (from 50); an image's id is seven times its row."""
        folder = self.spoilt(world, tmp_path, images, value)
        with pytest.raises(BadStore) as refused:
            run(folder, tmp_path / "run", name, "train.batch_size=100")
        assert refused.value.location.endswith("cells/features.npy")
        assert f" {', '.join(str(7 * row) for row in images)} hold" in refused.value.message
        assert "kept" not in refused.value.hint, "nothing was saved yet"

    def test_numbers_too_large_to_reckon_with(self, world, tmp_path):
        folder = self.spoilt(world, tmp_path, [3], 6e4)
        file = folder.store_path("cells") / "features.npy"
        header = folder.store_path("cells") / "header.json"
        header.write_text(header.read_text().replace('"float16"', '"float32"'))
        features = np.load(file).astype(np.float32)
        features[3] = 3e38
        np.save(file, features)
        with pytest.raises(BadStore, match="3e"):
            run(folder, tmp_path / "run")


class TestRate:
    @pytest.mark.parametrize("name", [VQA, CAPTIONS])
    def test_one_that_makes_the_loss_nan(self, world, tmp_path, name):
        with pytest.raises(BadRun) as refused:
            run(world, tmp_path / "run", name, "train.clip_value=none", f"{RATE}=1e30")
        assert refused.value.location == RATE
        assert f"--set {RATE}=0.001" in refused.value.hint
        assert "kept" not in refused.value.hint, "nothing was saved yet"

    @pytest.mark.parametrize(
        "changes", [[f"{RATE}=100"], ["train.optimiser.kind=sgd", f"{RATE}=50"]]
    )
    def test_one_that_makes_the_loss_huge(self, world, tmp_path, changes):
        with pytest.raises(BadRun, match="diverged") as refused:
            run(world, tmp_path / "run", VQA, "train.epochs=20", *changes)
        assert refused.value.location == RATE
        assert "--no-watchdog" in refused.value.hint

    def test_one_that_is_infinite_is_refused(self):
        for value in ("Infinity", "inf", "nan"):
            with pytest.raises(BadConfig, match="learning_rate"):
                change(RECIPES[f"{VQA}-small"], f"{RATE}={value}")
