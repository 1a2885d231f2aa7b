"""Vision transformers of `transformers`: every token is a region, with a box of its own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTModel

import saccade
from saccade.config import change
from saccade.core.errors import BadConfig, BadData, BadRun, MissingWeights
from saccade.core.files import sha256_of
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features.backbones import build_backbone, choose_backbone, preprocessing_for
from saccade.features.extract import extract
from saccade.features.preprocessing import grid_boxes
from saccade.features.settings import BackboneSpec
from saccade.features.store import FeatureStore
from saccade.features.transformers_backbones import create_network
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import open_run
from saccade.training.train import train

NAME = "transformers:google/vit-tiny-of-ours"
SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "image_size": 32,
    "patch_size": 16,
}


def a_network(kind=ViTModel, **changes):
    torch.manual_seed(3)
    network = kind(ViTConfig(**{**SIZES, "layer_norm_eps": 1e-6, **changes}))
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `save_pretrained` writes it, with transformers 4's names in the file."""
    a_network().save_pretrained(tmp_path / "vit")
    names = load_file(tmp_path / "vit" / "model.safetensors")
    assert "encoder.layer.1.attention.attention.query.weight" in names
    return tmp_path / "vit"


def assert_tokens(regions: torch.Tensor, network, images: torch.Tensor) -> None:
    """The network's own tokens.

    Within 1e-6: of so small a network most weights are the patches' convolution, so a backbone
    runs it channels-last, and that kernel adds in another order.
    """
    with torch.no_grad():
        wanted = network(images).last_hidden_state
    torch.testing.assert_close(regions, wanted, rtol=1e-6, atol=1e-6)


class TestWeights:
    def test_of_a_folder_bring_their_sizes_along(self, folder: Path) -> None:
        backbone = choose_backbone(NAME, folder)
        images = torch.rand(3, 3, 32, 32)
        regions, grid = backbone.encode_grid(images)
        assert grid == (2, 2)
        assert_tokens(regions, a_network(), images)
        assert backbone.spec.weights == "vit"
        assert backbone.spec.weights_sha256 == sha256_of(folder / "model.safetensors")
        told = {name: size for name, size in SIZES.items() if name != "patch_size"}  # it is usual
        assert backbone.spec.options == {**told, "layer_norm_eps": 1e-6}
        assert not any(parameter.requires_grad for parameter in backbone.parameters())

    def test_of_a_classifier_are_taken_without_it(self, tmp_path: Path) -> None:
        network = a_network(ViTForImageClassification)
        network.save_pretrained(tmp_path / "vit")
        images = torch.rand(2, 3, 32, 32)
        backbone = choose_backbone(NAME, tmp_path / "vit")
        assert_tokens(backbone(images), network.vit, images)

    def test_under_todays_names_and_from_a_file_alone(self, tmp_path: Path) -> None:
        """A file has no sizes: they are given as options."""
        network = a_network()
        save_file(network.state_dict(), tmp_path / "mine.safetensors")
        options = {**SIZES, "layer_norm_eps": 1e-6}
        backbone = choose_backbone(NAME, tmp_path / "mine.safetensors", options)
        images = torch.rand(2, 3, 32, 32)
        assert_tokens(backbone(images), network, images)
        assert backbone.spec.weights == "mine.safetensors"

    def test_kept_with_a_store_build_the_same_network_without_the_folder(
        self, folder: Path, tmp_path: Path
    ) -> None:
        backbone = choose_backbone(NAME, folder)
        backbone.save(tmp_path / "kept.safetensors")
        (folder / "config.json").unlink()
        (folder / "model.safetensors").unlink()
        spec = type(backbone.spec).model_validate_json(backbone.spec.model_dump_json())
        images = torch.rand(1, 3, 32, 32)
        again = build_backbone(spec, tmp_path / "kept.safetensors")
        assert torch.equal(again(images), backbone(images))
        with pytest.raises(MissingWeights, match="no weights 'vit'"):
            build_backbone(spec)

    def test_are_found_in_the_folder_of_weights(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.rename(folder.with_name("vit-tiny-of-ours"))
        monkeypatch.setenv("SACCADE_WEIGHTS", str(folder.parent))
        backbone = choose_backbone(NAME)
        assert torch.equal(build_backbone(backbone.spec)(torch.ones(1, 3, 32, 32)),
                           backbone(torch.ones(1, 3, 32, 32)))  # fmt: skip
        assert choose_backbone(NAME, "vit-tiny-of-ours").spec.options == backbone.spec.options

    def test_are_the_hubs_where_its_cache_has_them(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def download(repository: str, file: str, *, local_files_only: bool = False) -> str:
            assert local_files_only
            asked.append((repository, file))
            return str(folder / file)

        monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
        backbone = choose_backbone(NAME)
        assert [file for _, file in asked] == ["config.json", "model.safetensors"]
        assert {repository for repository, _ in asked} == {"google/vit-tiny-of-ours"}
        assert backbone.spec.weights == "hub"
        assert backbone.spec.options["hidden_size"] == 8

    def test_that_are_nowhere_are_described(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
        with pytest.raises(MissingWeights, match=r"google/vit-none/resolve/main/config\.json"):
            choose_backbone("transformers:google/vit-none")

    def test_random_ones_are_the_same_everywhere(self) -> None:
        torch.manual_seed(5)
        one = choose_backbone(NAME, "random", SIZES)
        torch.manual_seed(6)
        two = choose_backbone(NAME, "random", SIZES)
        assert one.spec == two.spec
        assert torch.equal(one(torch.ones(1, 3, 32, 32)), two(torch.ones(1, 3, 32, 32)))
        assert torch.equal(build_backbone(one.spec)(torch.ones(1, 3, 32, 32)),
                           one(torch.ones(1, 3, 32, 32)))  # fmt: skip

    def test_that_do_not_fit_are_listed(self, folder: Path) -> None:
        with pytest.raises(BadConfig, match=r"of another shape \(.*is \(8,.* in the file"):
            choose_backbone(NAME, folder, {"hidden_size": 16})
        with pytest.raises(BadConfig, match=r"12 missing|16 missing"):
            choose_backbone(NAME, folder, {"num_hidden_layers": 3})
        with pytest.raises(BadConfig, match="16 unknown"):
            choose_backbone(NAME, folder, {"num_hidden_layers": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 8}, "no --option hidden"),
        ({**SIZES, "num_hidden_layers": "two"}, "transformers cannot build a ViT"),
        ({**SIZES, "hidden_act": "loud"}, "transformers cannot build a ViT"),
    ],
)
def test_options_that_make_no_network(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        choose_backbone(NAME, "random", options)


def test_folders_that_hold_something_else(folder: Path) -> None:
    about = folder / "config.json"
    sizes = json.loads(about.read_text())
    for changes, message in (
        ({"model_type": "bert"}, "describes bert"),
        ({"num_channels": 1}, "of 1 colours"),
        ({"image_size": [32, 32]}, "image_size"),
    ):
        about.write_text(json.dumps({**sizes, **changes}))
        with pytest.raises(BadConfig, match=message):
            choose_backbone(NAME, folder)
    about.write_text("{")
    with pytest.raises(BadData, match="unreadable"):
        choose_backbone(NAME, folder)
    about.write_text(json.dumps(sizes))
    (folder / "model.safetensors").write_text("cut")
    with pytest.raises(BadData, match="not a file of weights"):
        choose_backbone(NAME, folder)


def test_images_of_other_sizes_are_whole_patches() -> None:
    backbone = choose_backbone(NAME, "random", SIZES)
    regions, grid = backbone.encode_grid(torch.rand(1, 3, 48, 64))
    assert grid == (3, 4)
    assert regions.shape == (1, 13, 8)
    with pytest.raises(BadConfig, match=r"cannot encode 40 x 32 pixels \(patches have 16 pixels"):
        backbone(torch.rand(1, 3, 40, 32))


def test_without_any_option_it_is_vit_b_16_and_its_usual_preprocessing() -> None:
    spec = BackboneSpec(name="transformers:google/vit-base-patch16-224-in21k", weights="random")
    with torch.device("meta"):
        network = create_network(spec, None)
        tokens = network.forward_features(torch.zeros(1, 3, 224, 224))
    assert tokens.shape == (1, 197, 768)
    pooler = 768 * 768 + 768  # counted in the published 86,389,248, and used by nothing
    assert sum(parameter.numel() for parameter in network.parameters()) == 86_389_248 - pooler
    own = preprocessing_for(spec)
    assert (own.height, own.width, own.resize, own.resize_to) == (224, 224, "squash", None)
    assert (own.mean, own.std, own.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bilinear")
    assert preprocessing_for(spec, size=384).height == 384
    assert preprocessing_for(spec.model_copy(update={"options": {"image_size": 32}})).height == 32


def test_the_class_token_has_the_whole_image_and_every_patch_its_cell() -> None:
    backbone = choose_backbone(NAME, "random", {**SIZES, "num_hidden_layers": 1})
    boxes = backbone.boxes((2, 2))
    assert boxes.dtype == np.float32
    assert boxes[0].tolist() == [0, 0, 1, 1]
    assert np.array_equal(boxes[1:], grid_boxes(2, 2))
    blank = torch.zeros(1, 3, 32, 32)
    for box in range(1, 5):
        spot = blank.clone()
        x0, y0, x1, y1 = (int(edge * 32) for edge in boxes[box])
        spot[:, :, y0:y1, x0:x1] = 9
        change = (backbone(spot) - backbone(blank)).norm(dim=-1)[0]
        assert int(change.argmax()) == box


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes seen by a small ViT from a folder that is gone, and PitVQA-Net trained on that."""
    root = tmp_path_factory.mktemp("tokens")
    make_shapes(root / "shapes", images={"train": 12, "val": 4}, seed=1, size=48)
    data = prepare("vqa-v2", root / "shapes", root / "data")
    a_network().save_pretrained(root / "vit")
    extract(data, NAME, weights=root / "vit", resize="shorter_side", resize_to=40, dtype="float32")
    (root / "vit" / "model.safetensors").unlink()
    recipe = change(RECIPES["pitvqa-small"], "train.epochs=1")
    train(recipe, data, root / "run", console=Console(quiet=True))
    return root


def test_the_network_can_learn_as_the_encoder_of_a_model(asked: Path) -> None:
    """As published: pixels, the ViT in front of PitVQA-Net, all of it trained."""
    extract(asked / "data", "pixels", size=32, resize="squash", mean=(0, 0, 0), std=(1, 1, 1))
    a_network().save_pretrained(asked / "again")
    recipe = RECIPES["pitvqa-small"]
    for setting in (
        f"encoder={NAME}",
        f"encoder.weights={asked / 'again'}",
        "encoder.trains_from=0",
        "train.epochs=1",
    ):
        recipe = change(recipe, setting)
    train(recipe, asked / "data", asked / "learnt", console=Console(quiet=True))
    network = choose_backbone(NAME, asked / "again")
    fresh = network.state_dict()
    kept = open_run(asked / "learnt").header.recipe.encoder
    assert kept.options == network.spec.options  # the run needs no folder
    (asked / "again" / "model.safetensors").unlink()
    (asked / "again" / "config.json").unlink()
    given = {"recipe": recipe, "data": asked / "data", "out": asked / "learnt", "resume": True}
    with pytest.raises(BadRun, match=r"encoder\.options"):
        saccade.train(**{**given, "recipe": change(recipe, "encoder.options=hidden_size=16")})
    saccade.train(**given)  # finished, and of the same sizes
    learnt = load_file(asked / "learnt" / "model.safetensors")
    moved = [
        name for name, value in fresh.items() if not torch.equal(learnt[f"encoder.{name}"], value)
    ]
    assert len(moved) == len(fresh) > 30
    encoded = saccade.load(asked / "learnt").encode(min((asked / "shapes" / "images").iterdir()))
    assert encoded.regions.shape == (1, 5, 8)
    assert encoded.boxes[0].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(encoded.boxes[1:], grid_boxes(2, 2))


def test_the_store_has_boxes_and_no_grid(asked: Path) -> None:
    folder = DataFolder(asked / "data")
    assert "vit-tiny-of-ours-32" in folder.stores()
    store = FeatureStore.open(folder.store_path("vit-tiny-of-ours-32"))
    assert store.header.grid is None
    assert store.features.shape == (16, 5, 8)
    boxes = store.boxes(np.arange(16))
    # A crop of 32 out of 40 pixels: a tenth is lost on every side.
    np.testing.assert_allclose(boxes[0, 0], [0.1, 0.1, 0.9, 0.9], atol=1e-6)
    np.testing.assert_allclose(boxes[0, 4], [0.5, 0.5, 0.9, 0.9], atol=1e-6)
    store.verify()


def test_an_image_asked_about_has_the_stores_regions_and_boxes(asked: Path) -> None:
    run = saccade.load(asked / "run")
    store = FeatureStore.open(asked / "data" / "features" / "vit-tiny-of-ours-32")
    image = min((asked / "shapes" / "images").iterdir())
    row = store.rows([int(image.stem)])
    encoded = run.encode(image)
    np.testing.assert_allclose(encoded.regions[0].numpy(), store.read(row)[0][0], atol=1e-5)
    assert np.array_equal(encoded.boxes, store.boxes(row)[0])
    answer = run.ask(encoded, "What color is the circle?")
    assert answer.attention.shape == (1, 5)
    assert answer.attention.sum() == pytest.approx(1, abs=1e-5)


def test_an_image_of_another_shape_keeps_its_boxes(asked: Path, tmp_path: Path) -> None:
    Image.new("RGB", (80, 40)).save(tmp_path / "wide.png")
    boxes = saccade.load(asked / "run").encode(tmp_path / "wide.png").boxes
    np.testing.assert_allclose(boxes[0], [0.3, 0.1, 0.7, 0.9], atol=1e-6)
    assert len(boxes) == 5
