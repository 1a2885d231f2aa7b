"""One folder of weights for everything pretrained; what is missing says its name and its place."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from saccade.cli.main import app
from saccade.config import change
from saccade.errors import MissingWeights
from saccade.features.weights import find_detector_weights, find_weights
from saccade.recipes import RECIPES
from saccade.run import open_run
from saccade.text import file_vocabulary
from saccade.train import train
from saccade.weight_files import find_given, find_pretrained
from tests.worlds import make_world

ADDRESS = "https://example.org/models/net_coco-0123abcd.pth"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    there = tmp_path / "weights"
    there.mkdir()
    monkeypatch.setenv("SACCADE_WEIGHTS", str(there))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return there


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_a_backbone_is_looked_for_in_the_folder(folder: Path, tmp_path: Path) -> None:
    file = touch(folder / "resnet18.pth")
    assert find_weights("resnet18", "hub") == file
    assert find_weights("resnet18", "resnet18.pth") == file
    other = touch(tmp_path / "other" / "resnet18.safetensors")
    assert find_weights("resnet18", str(other.parent)) == other
    with pytest.raises(MissingWeights, match=r"resnet34\.safetensors.*other/resnet34\.pth"):
        find_weights("resnet34", str(other.parent))


def test_a_detector_is_looked_for_by_its_published_name_too(folder: Path, tmp_path: Path) -> None:
    kept = touch(tmp_path / "torch" / "hub" / "checkpoints" / "net_coco-0123abcd.pth")
    assert find_detector_weights("net", "hub", ADDRESS) == kept
    published = touch(folder / "net_coco-0123abcd.pth")
    assert find_detector_weights("net", "hub", ADDRESS) == published
    own = touch(folder / "net.safetensors")
    assert find_detector_weights("net", "hub", ADDRESS) == own
    assert find_detector_weights("net", str(folder), ADDRESS) == own
    assert find_detector_weights("net", "random", ADDRESS) is None


def test_pretrained_folders_are_looked_for_by_either_name(folder: Path, tmp_path: Path) -> None:
    short = touch(folder / "blip-vqa-base" / "model.safetensors")
    assert find_pretrained("Salesforce/blip-vqa-base") == short
    whole = touch(folder / "Salesforce" / "blip-vqa-base" / "model.safetensors")
    assert find_pretrained("Salesforce/blip-vqa-base") == whole
    given = touch(tmp_path / "mine" / "model.safetensors")
    assert find_pretrained(str(given.parent)) == given


def test_missing_pretrained_weights_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights) as caught:
        find_pretrained("gpt2")
    said = str(caught.value)
    assert "fetch https://huggingface.co/gpt2/resolve/main/model.safetensors" in said
    assert "put it as gpt2/model.safetensors into the folder that SACCADE_WEIGHTS names" in said
    with pytest.raises(MissingWeights, match=r"Put model\.safetensors there, or as none/model"):
        find_pretrained(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("glove.6B.300d.txt", "Fetch https://nlp.stanford.edu/data/glove.6B.zip"),
        ("gpt2", "Fetch https://huggingface.co/gpt2/resolve/main/tokenizer.json"),
        ("ours.vec", "Get it from who made it"),
    ],
)
def test_a_missing_file_says_its_name_and_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    with pytest.raises(MissingWeights, match="there are no word vectors") as caught:
        find_given(name, "word vectors")
    assert address in caught.value.cure
    assert f"put it as {name} into {folder}" in caught.value.cure
    assert str(folder / name) in str(caught.value.where)
    monkeypatch.delenv("SACCADE_WEIGHTS")
    with pytest.raises(MissingWeights, match="into a folder that SACCADE_WEIGHTS names"):
        find_given(name, "word vectors")


def test_word_vectors_of_a_recipe_come_from_the_folder(folder: Path, tmp_path: Path) -> None:
    world = make_world(tmp_path / "data", train=12, val=4)
    recipe = change(RECIPES["show-ask-attend-answer-small"], "train.epochs=1")
    recipe = change(recipe, "text.vectors=ours.txt")
    with pytest.raises(MissingWeights, match=r"ours\.txt.*no word vectors"):
        train(recipe, world.path, tmp_path / "none", console=Console(quiet=True))
    width = recipe.model.word_dim if hasattr(recipe.model, "word_dim") else None
    width = width or next(
        value for name, value in recipe.model if name in ("words", "embedding", "word_width")
    )
    line = " ".join(["0.5"] * width)
    (folder / "ours.txt").write_text(f"what {line}\nis {line}\n")
    train(recipe, world.path, tmp_path / "run", console=Console(quiet=True))
    assert open_run(tmp_path / "run").header.recipe.text.vectors == "ours.txt"


def test_a_tokenizer_comes_from_the_folder(folder: Path) -> None:
    (folder / "tiny").mkdir()
    (folder / "tiny" / "vocab.json").write_text('{"a": 0, "b": 1, "<|endoftext|>": 2}')
    (folder / "tiny" / "merges.txt").write_text("#version: 0.2\n")
    assert len(file_vocabulary("file:tiny")) == 3


def test_the_folder_may_be_said_on_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the verb, for every verb; the environment variable is the same setting."""
    monkeypatch.setenv("SACCADE_WEIGHTS", "elsewhere")
    world = make_world(tmp_path / "data", train=6, val=2)
    said = CliRunner().invoke(
        app,
        ["--weights", str(folder), "extract", str(world.path), "--backbone", "timm:resnet18",
         "--weights", "none.pth", "--image-root", str(tmp_path)],
    )  # fmt: skip
    assert said.exit_code == 1
    code = (
        "import os, sys; from saccade.cli.main import main; sys.argv = sys.argv[:1] + "
        "['--weights', sys.argv[1], 'list', 'metrics']\n"
        "try:\n    main()\nfinally:\n    print(os.environ['SACCADE_WEIGHTS'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == str(folder)


def test_a_model_of_a_language_comes_from_the_folder(folder: Path) -> None:
    from saccade.batch import Sizes
    from saccade.models.pitvqa import PitVqa, PitVqaConfig

    config = PitVqaConfig(
        width=8, heads=2, feed_forward=16, text_layers=1, language_layers=1, hidden=4,
        language_weights="gpt2", mode="fixed",
    )  # fmt: skip
    model = PitVqa(config, Sizes(words=11, region_dim=6, answers=3, grid=None, regions=4))
    with pytest.raises(MissingWeights, match=r"gpt2/model\.safetensors"):
        model.initialise()
    wanted = {name: torch.full_like(v, 0.25) for name, v in model.language.state_dict().items()}
    (folder / "gpt2").mkdir()
    save_file(wanted, folder / "gpt2" / "model.safetensors")
    model.initialise()
    assert all((value == 0.25).all() for value in model.language.state_dict().values())
