"""One folder of weights for everything pretrained; what is missing says its name and its place."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.config import change
from saccade.core import weights as weight_files
from saccade.core.errors import BadData, MissingWeights
from saccade.core.weights import find_given, find_pretrained
from saccade.features.backbones import choose_backbone
from saccade.features.detectors import find_detector_weights
from saccade.features.timm_backbones import find_weights
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.text.vocabulary import file_vocabulary
from saccade.training.train import train
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


VIT = "google/vit-base-patch16-224-in21k"
DETECTOR = "fasterrcnn_resnet50_fpn_v2"
HUB, TORCH = "https://huggingface.co", "https://download.pytorch.org/models"
RESNET = f"{HUB}/timm/resnet101.a1h_in1k/resolve/main/model.safetensors"
GCVIT = (
    "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights-morevit/"
    "gcvit_xxtiny_224_nvidia-d1d86009.pth"
)


class Lacking(NamedTuple):
    """Something pretrained that is asked for, what its message has to name, and who asks."""

    ask: Callable[[], object]
    addresses: tuple[str, ...]
    names: tuple[str, ...]


def backbone(name: str) -> Callable[[], object]:
    return lambda: choose_backbone(name)


def vectors(name: str) -> Callable[[], object]:
    return lambda: find_given(name, "word vectors")


LACKING = {
    "timm": Lacking(backbone("timm:resnet101"), (RESNET,), ("resnet101.safetensors",)),
    "timm, by tag": Lacking(
        backbone("timm:resnet101.a1h_in1k"), (RESNET,), ("resnet101.a1h_in1k.safetensors",)
    ),
    "timm, not on its hub": Lacking(backbone("timm:gcvit_xxtiny"), (GCVIT,), ("gcvit_xxtiny.pth",)),
    "torchvision": Lacking(
        backbone(f"torchvision:{DETECTOR}"),
        (f"{TORCH}/{DETECTOR}_coco-dd69338a.pth",),
        (f"{DETECTOR}_coco-dd69338a.pth",),
    ),
    "ViT": Lacking(
        backbone(f"transformers:{VIT}"),
        (f"{HUB}/{VIT}/resolve/main/config.json", f"{HUB}/{VIT}/resolve/main/model.safetensors"),
        ("vit-base-patch16-224-in21k/config.json", "vit-base-patch16-224-in21k/model.safetensors"),
    ),
    "BLIP": Lacking(
        lambda: find_pretrained("Salesforce/blip-vqa-base"),
        (f"{HUB}/Salesforce/blip-vqa-base/resolve/main/model.safetensors",),
        ("blip-vqa-base/model.safetensors",),
    ),
    "GPT-2": Lacking(
        lambda: find_pretrained("gpt2"),
        (f"{HUB}/gpt2/resolve/main/model.safetensors",),
        ("gpt2/model.safetensors",),
    ),
    "GPT-2, by path": Lacking(
        lambda: find_pretrained("/nowhere/gpt2"),
        (f"{HUB}/gpt2/resolve/main/model.safetensors",),
        ("gpt2/model.safetensors",),
    ),
    "GPT-2's words": Lacking(
        lambda: file_vocabulary("file:gpt2"),
        (f"{HUB}/gpt2/resolve/main/tokenizer.json",),
        ("gpt2/tokenizer.json",),
    ),
    "BERT's words": Lacking(
        lambda: file_vocabulary("file:bert-base-uncased"),
        (f"{HUB}/bert-base-uncased/resolve/main/tokenizer.json",),
        ("bert-base-uncased/tokenizer.json",),
    ),
    "words of one's own": Lacking(
        lambda: file_vocabulary("file:mine"), ("who made it",), ("mine/tokenizer.json",)
    ),
    "GloVe": Lacking(
        vectors("glove.6B.300d.txt"),
        ("https://nlp.stanford.edu/data/glove.6B.zip, unpack glove.6B.300d.txt",),
        ("glove.6B.300d.txt",),
    ),
    "word2vec": Lacking(
        vectors("GoogleNews-vectors-negative300.bin"),
        ("https://code.google.com/archive/p/word2vec/",),
        ("GoogleNews-vectors-negative300.bin",),
    ),
    "fastText": Lacking(
        vectors("cc.zh.300.vec"),
        ("https://dl.fbaipublicfiles.com/fasttext/vectors-crawl/cc.zh.300.vec.gz",),
        ("cc.zh.300.vec",),
    ),
    "vectors of one's own": Lacking(vectors("ours.vec"), ("who made it",), ("ours.vec",)),
}


@pytest.fixture
def alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is cached, and no hub is asked."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", none_cached)
    return folder


def none_cached(*_: object, **__: object) -> str:
    raise LocalEntryNotFoundError("none")


@pytest.mark.parametrize("kind", LACKING)
@pytest.mark.parametrize("named", ["not at all", "a folder", "a folder that is not there"])
def test_what_is_missing_says_its_name_where_to_get_it_and_where_to_put_it(
    alone: Path, monkeypatch: pytest.MonkeyPatch, kind: str, named: str
) -> None:
    ask, addresses, names = LACKING[kind]
    if named == "not at all":
        monkeypatch.delenv("SACCADE_WEIGHTS")
    elif named == "a folder that is not there":
        monkeypatch.setenv("SACCADE_WEIGHTS", str(alone / "none"))
    with pytest.raises(MissingWeights) as caught:
        ask()
    hint = caught.value.hint
    assert all(address in hint for address in addresses)
    if named == "not at all":
        put = f"as {' and '.join(names)} into a folder that SACCADE_WEIGHTS or saccade --weights"
    else:
        there = alone if named == "a folder" else alone / "none"
        put = f"as {' and '.join(str(there / name) for name in names)}"
    assert put in hint
    assert ("it is not there yet" in hint) == (named == "a folder that is not there")
    assert hint.endswith((".", ")."))


@pytest.mark.parametrize(
    ("kind", "given", "network"),
    [
        ("timm", "timm:resnet101", "resnet101.safetensors"),
        ("timm, not on its hub", "timm:gcvit_xxtiny", "gcvit_xxtiny.pth"),
        ("torchvision", f"torchvision:{DETECTOR}", f"{DETECTOR}_coco-dd69338a.pth"),
    ],
)
def test_a_wrong_weights_option_says_what_would_be_right(
    alone: Path, tmp_path: Path, kind: str, given: str, network: str
) -> None:
    """`extract --weights FILE` and `--weights DIR`: a path, or a name in the folder of weights."""
    for weights, home in (
        ("nothing.pth", alone),
        ("sub/nothing.pth", alone / "sub"),
        (str(tmp_path / "nothing.pth"), tmp_path),
        (str(tmp_path), tmp_path),
    ):
        with pytest.raises(MissingWeights) as caught:
            choose_backbone(given, weights)
        assert LACKING[kind].addresses[0] in caught.value.hint
        assert caught.value.hint.endswith(f"give --weights {home / network}.")


def test_a_wrong_weights_option_of_a_vit_says_what_would_be_right(
    alone: Path, tmp_path: Path
) -> None:
    for weights in ("nothing", str(tmp_path)):
        with pytest.raises(MissingWeights) as caught:
            choose_backbone(f"transformers:{VIT}", weights)
        assert str(Path(weights)) in str(caught.value.location)
        assert all(address in caught.value.hint for address in LACKING["ViT"].addresses)


def test_what_a_message_says_is_what_helps(alone: Path) -> None:
    """Each file, put where its message says, is the one that is then found."""
    for kind, lacking in LACKING.items():
        for name in lacking.names:
            touch(alone / name)
        if kind.startswith(("timm", "torchvision", "ViT")) or "words" in kind:
            with pytest.raises(BadData, match=r"can be read|no tokenizer|unreadable"):
                lacking.ask()  # found, and damaged
        elif kind != "GPT-2, by path":
            assert lacking.ask() == alone / lacking.names[-1]


def test_a_vit_is_found_in_a_folder_of_such_folders(folder: Path, tmp_path: Path) -> None:
    from saccade.features.transformers_backbones import _find

    other = touch(tmp_path / "all" / "vit-base-patch16-224-in21k" / "model.safetensors")
    assert _find(VIT, str(tmp_path / "all")) == other
    short = touch(folder / "vit-base-patch16-224-in21k" / "model.safetensors")
    assert _find(VIT, "hub") == short
    whole = touch(folder / VIT / "model.safetensors")
    assert _find(VIT, "hub") == whole


def test_the_folder_of_weights_is_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`saccade --weights FILE extract` is what a newcomer writes who means the other --weights."""
    file = touch(folder / "resnet18.pth")
    monkeypatch.setenv("SACCADE_WEIGHTS", str(file))
    with pytest.raises(MissingWeights, match=r"names a file; it is a folder.*behind the verb"):
        find_weights("resnet18", "hub")
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("SACCADE_WEIGHTS", "~/weights")
    assert find_weights("resnet18", "hub") == file


def test_the_page_has_a_row_for_everything_that_is_looked_for() -> None:
    page = (Path(__file__).parent.parent / "docs" / "weights.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for kind in ("ViT", "BLIP", "GPT-2", "GPT-2's words", "BERT's words", "GloVe", "word2vec"):
        for name in LACKING[kind].names:
            assert any(f"{name}`" in row for row in rows), name
    for address in (*weight_files.ADDRESSES.values(), weight_files.FASTTEXT_SITE, TORCH):
        assert any(address.split(" ")[0].removeprefix("https://") in row for row in rows), address


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
    from saccade.data.batch import Sizes
    from saccade.models.catalogue import PitVqaConfig
    from saccade.models.pitvqa import PitVqa

    config = PitVqaConfig(
        width=8, text_heads=2, language_heads=2, feed_forward=16, text_layers=1, language_layers=1,
        hidden=4,
        language_weights="gpt2", mode="fixed",
    )  # fmt: skip
    model = PitVqa(config, Sizes(words=11, region_dim=6, answers=3, grid=None, regions=4))
    with pytest.raises(MissingWeights, match=r"gpt2/model\.safetensors"):
        model.initialise()
    wanted = {
        name: torch.full_like(v, 0.25) for name, v in model.language_model.state_dict().items()
    }
    (folder / "gpt2").mkdir()
    save_file(wanted, folder / "gpt2" / "model.safetensors")
    model.initialise()
    assert all((value == 0.25).all() for value in model.language_model.state_dict().values())
