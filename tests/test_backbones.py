"""Settings networks: where their regions lie, and whose weights they have."""

import socket
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image
from torch import nn

from saccade.core import weights as weights_module
from saccade.core.errors import BadConfig, BadData, MissingWeights
from saccade.core.files import sha256_of
from saccade.features.backbones import (
    Backbone,
    build_backbone,
    choose_backbone,
    preprocessing_for,
)
from saccade.features.preprocessing import grid_boxes, normalise, resize_and_crop
from saccade.features.settings import BackboneSpec, Preprocessing
from saccade.features.timm_backbones import find_weights

SMALL = "timm:test_resnet"
SPEC = BackboneSpec(name=SMALL, weights="random")


@pytest.fixture(scope="module")
def small() -> Backbone:
    return choose_backbone(SMALL, "random")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights with a classifier of 7 classes, as somebody might have trained them."""
    torch.manual_seed(7)
    model = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path / "mine.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path


class Cells(nn.Module):
    """A network whose output says where each of its 2 x 3 cells is, in one of timm's layouts."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout, self.weight = layout, nn.Parameter(torch.zeros(1))
        if layout == "NHWC":
            self.output_fmt = "NHWC"
        self.num_prefix_tokens = 2 if layout == "tokens" else 0

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")
        cells = torch.stack([rows, columns, rows * 0 + 9, rows], dim=-1)  # (2, 3, 4)
        cells = cells.expand(len(images), 2, 3, 4)
        if self.layout == "NCHW":
            return cells.permute(0, 3, 1, 2)
        if self.layout == "NHWC":
            return cells
        return torch.cat([torch.full((len(images), 2, 4), -1.0), cells.flatten(1, 2)], dim=1)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "tokens"])
def test_row_r_is_cell_r_over_w_and_r_modulo_w(layout: str) -> None:
    regions, grid = Backbone(Cells(layout), SPEC).encode_grid(torch.zeros(2, 3, 20, 30))
    assert grid == (2, 3)
    assert regions.shape == (2, 6, 4)
    for r in range(6):
        assert regions[1, r].tolist() == [r // 3, r % 3, 9, r // 3]


def test_grid_boxes_tile_the_image_row_by_row() -> None:
    boxes = grid_boxes(2, 3)
    assert boxes.shape == (6, 4)
    assert boxes.dtype == np.float32
    assert np.allclose(boxes[4], [1 / 3, 1 / 2, 2 / 3, 1])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert area.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "grid", "dim"),
    [
        ("timm:test_resnet", (5, 5), 96),
        ("timm:test_mambaout", (5, 5), 64),  # NHWC
        ("timm:test_vit", (10, 10), 64),  # one class token
        ("timm:test_vit3", (10, 10), 96),
        ("timm:mobilenetv3_small_050", (7, 7), 288),
    ],
)
def test_a_bright_spot_is_seen_in_its_own_cell(name: str, grid: tuple[int, int], dim: int) -> None:
    backbone = choose_backbone(name, "random")
    preprocessing = preprocessing_for(backbone.spec)
    assert backbone.measure(preprocessing) == (grid, dim)
    height, width = preprocessing.height, preprocessing.width
    rows, columns = grid
    blank = torch.zeros(1, 3, height, width)
    spot = blank.clone()
    row, column = 1, columns - 2
    cell = (
        slice(height * row // rows, height * (row + 1) // rows),
        slice(width * column // columns, width * (column + 1) // columns),
    )
    spot[:, :, cell[0], cell[1]] = 5
    change = (backbone(spot) - backbone(blank)).norm(dim=-1)[0].reshape(grid)
    # Networks with wide receptive fields see it everywhere, but most of all there.
    ys, xs = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    near = ((ys - row).abs() <= 1) & ((xs - column).abs() <= 1)
    assert change[near].mean() > change[~near].mean()
    assert near.flatten()[change.argmax()]


def test_one_vector_is_what_the_classifier_reads(small: Backbone, tmp_path: Path) -> None:
    images = torch.randn(2, 3, 64, 64)
    pooled = choose_backbone(SMALL, "random", {"vector": True})
    regions, grid = pooled.encode_grid(images)
    assert grid == (1, 1)
    torch.testing.assert_close(regions[:, 0], small(images).mean(dim=1))
    pooled.save(tmp_path / "weights.safetensors")
    again = build_backbone(pooled.spec, tmp_path / "weights.safetensors")
    assert torch.equal(again(images), regions)


def test_the_vector_of_a_vgg_is_its_fc7_behind_the_relu() -> None:
    vgg = choose_backbone("timm:vgg11", "random", {"vector": True, "mlp_ratio": 0.01})
    network, images = vgg.model, torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        grid = type(network).forward_features(network, images)
        fc6 = network.pre_logits.fc1(grid).relu()
        fc7 = network.pre_logits.fc2(fc6).relu()
    assert fc7.shape == (1, 4096, 1, 1)
    torch.testing.assert_close(vgg(images)[:, 0], fc7.flatten(1))


def test_images_need_not_be_square(small: Backbone) -> None:
    regions, grid = small.encode_grid(torch.rand(1, 3, 64, 128))
    assert grid == (2, 4)
    assert regions.shape == (1, 8, 96)
    wide = choose_backbone("timm:test_vit", "random", {"dynamic_img_size": True})
    assert wide.encode_grid(torch.rand(1, 3, 64, 128))[1] == (4, 8)


def test_always_in_eval_mode_and_frozen(small: Backbone) -> None:
    before = {name: value.clone() for name, value in small.state_dict().items()}
    small.train()
    assert not any(module.training for module in small.modules())
    assert not any(parameter.requires_grad for parameter in small.parameters())
    images = torch.rand(4, 3, 160, 160, requires_grad=True)
    together = small(images)
    assert not together.requires_grad
    alone = torch.cat([small(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-4 * float(together.abs().max()))
    for name, value in small.state_dict().items():
        assert torch.equal(value, before[name])


def test_channels_last_gives_the_same_features(small: Backbone) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 160, 160)
    plain = timm.create_model("test_resnet", num_classes=0).eval()
    plain.load_state_dict(small.model.state_dict())
    with torch.no_grad():
        wanted = plain.forward_features(images).flatten(2).transpose(1, 2)
    assert (small(images) - wanted).abs().max() <= 1e-3 * wanted.abs().max()


def test_random_weights_are_the_same_ones_and_leave_the_generator_alone(small: Backbone) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    again = choose_backbone(SMALL, "random")
    assert torch.equal(torch.rand(3), wanted)
    assert again.spec == small.spec
    assert len(again.spec.weights_sha256 or "") == 64
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, small.model.state_dict()[name])


def test_saved_weights_build_the_very_same_network(small: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    small.save(path)
    assert list(tmp_path.iterdir()) == [path]
    spec = BackboneSpec.model_validate_json(small.spec.model_dump_json())
    images = torch.rand(1, 3, 160, 160)
    assert torch.equal(build_backbone(spec, path)(images), small(images))
    assert torch.equal(build_backbone(spec)(images), small(images))
    small.save(tmp_path / "again.safetensors")
    assert sha256_of(path) == sha256_of(tmp_path / "again.safetensors")
    with pytest.raises(MissingWeights, match="are not those that the features were made with"):
        build_backbone(spec.model_copy(update={"weights_sha256": "0" * 64}))


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
def test_weights_from_a_file(file: Path, kind: str) -> None:
    state = load_file(file)
    if kind == "pth":
        file = file.with_suffix(".pth")
        torch.save(state, file)
    if kind == "wrapped":
        file = file.with_suffix(".pth")
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, file)
    backbone = choose_backbone(SMALL, file)
    assert backbone.spec.weights == file.name
    assert backbone.spec.weights_sha256 == sha256_of(file)
    found = backbone.model.state_dict()
    assert found.keys() == state.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(found[name], state[name]) for name in found)


def test_weights_that_do_not_fit_are_listed(file: Path) -> None:
    state = load_file(file)
    name = "layer1.0.conv1.weight"
    changes = {
        "1 missing (layer1.0.conv1.weight)": {k: v for k, v in state.items() if k != name},
        "1 unknown (extra.weight)": {**state, "extra.weight": torch.zeros(2)},
        "1 of another shape (layer1.0.conv1.weight is (1, 2) in": {
            **state,
            name: torch.zeros(1, 2),
        },
    }
    for message, changed in changes.items():
        save_file(changed, file)
        with pytest.raises(BadConfig) as caught:
            choose_backbone(SMALL, file)
        assert message in str(caught.value)
        assert str(file) in str(caught.value)
    with pytest.raises(BadConfig, match=r"tensors are not those of test_vit: \d+ missing"):
        choose_backbone("timm:test_vit", file)


class Surprise:
    """What a pickle may hold, and must not be made."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_files_that_are_no_weights(file: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": Surprise()}, tmp_path / "evil.pth")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.safetensors").touch()
    torch.save([1, 2, 3], tmp_path / "list.pth")
    for name in ("evil.pth", "cut.safetensors", "text.pth", "empty.safetensors", "list.pth"):
        with pytest.raises(BadData, match="not a file of weights") as caught:
            choose_backbone(SMALL, tmp_path / name)
        assert name in str(caught.value)


def test_the_order_in_which_weights_are_searched(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file.parent / "weights"
    folder.mkdir()
    with pytest.raises(MissingWeights, match=r"no weights file 'other\.safetensors'"):
        find_weights("test_resnet", "other.safetensors")
    monkeypatch.setenv("SACCADE_WEIGHTS", str(folder))
    (folder / "test_resnet.safetensors").write_bytes(file.read_bytes())
    (folder / "other.safetensors").write_bytes(file.read_bytes())
    assert find_weights("test_resnet", "hub") == folder / "test_resnet.safetensors"
    assert find_weights("test_resnet", "other.safetensors") == folder / "other.safetensors"
    assert find_weights("test_resnet", str(file)) == file
    assert find_weights("test_resnet", "random") is None
    backbone = choose_backbone(SMALL)
    assert backbone.spec.weights == "test_resnet.safetensors"
    images = torch.rand(1, 3, 160, 160)
    assert torch.equal(build_backbone(backbone.spec)(images), backbone(images))
    (folder / "test_resnet.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"no weights file 'test_resnet\.safetensors'"):
        build_backbone(backbone.spec)


def test_a_hub_that_does_not_answer_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    def download(*_: str, **options: object) -> str:
        calls.append(options)
        raise LocalEntryNotFoundError("not here")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for offline, cause in (("1", "HF_HUB_OFFLINE is set"), ("0", "does not answer")):
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(weights_module.constants, "HF_HUB_OFFLINE", offline == "1")
        begin = time.perf_counter()
        with pytest.raises(MissingWeights, match=cause) as caught:
            choose_backbone("timm:resnet18.a1_in1k")
        assert time.perf_counter() - begin < 5
        assert "timm/resnet18.a1_in1k/resolve/main/model.safetensors" in caught.value.hint
        assert "put it as resnet18.a1_in1k.safetensors" in caught.value.hint
        assert "SACCADE_WEIGHTS" in caught.value.hint
    assert calls == [{"local_files_only": True}] * 2


def test_what_the_hub_has_cached_is_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def download(*names: str, local_files_only: bool = False) -> str:
        assert local_files_only
        asked.append(names)
        return str(file)

    monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    backbone = choose_backbone(SMALL)
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]
    assert backbone.spec.weights == "hub"
    assert backbone.spec.weights_sha256 == sha256_of(file)


def test_networks_without_weights_on_the_hub_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match="hub has no weights for gcvit_xxtiny") as caught:
        find_weights("gcvit_xxtiny", "hub")
    assert ".pth" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet50", {}, "write timm:NAME"),
        ("timm:resnet5O", {}, "Near it: timm:resnet50"),
        ("timm:resnet50.nonsense", {}, "Invalid pretrained tag"),
        ("timm:test_resnet", {"colour": "red"}, "options colour=red"),
        ("timm:test_resnet", {"num_classes": 3}, "saccade's own business"),
    ],
)
def test_names_and_options_that_do_not_exist(
    name: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BadConfig, match=message):
        choose_backbone(name, "random", options)


def test_networks_without_a_grid_and_sizes_that_do_not_fit(small: Backbone) -> None:
    crossed = choose_backbone("timm:crossvit_tiny_240", "random")
    with pytest.raises(BadConfig, match="no grid of regions"):
        crossed(torch.zeros(1, 3, 240, 240))
    vit = choose_backbone("timm:test_vit", "random")
    with pytest.raises(BadConfig, match="cannot encode 100 x 100 pixels"):
        vit(torch.zeros(1, 3, 100, 100))
    with pytest.raises(BadConfig, match="cannot encode 0 x 0 pixels"):
        small(torch.zeros(1, 3, 0, 0))


def test_a_network_built_for_one_size_is_built_for_the_wanted_one() -> None:
    vit = choose_backbone("timm:test_vit", "random", size=96)
    assert vit.spec.options == {"img_size": 96}
    assert preprocessing_for(vit.spec).height == 96
    assert vit.measure(preprocessing_for(vit.spec, size=96)) == ((6, 6), 64)
    assert choose_backbone(SMALL, "random", size=96).spec.options == {}


def test_options_reach_the_network() -> None:
    plain = choose_backbone(SMALL, "random")
    finer = choose_backbone(SMALL, "random", {"output_stride": 16})
    images = torch.zeros(1, 3, 160, 160)
    assert (plain.encode_grid(images)[1], finer.encode_grid(images)[1]) == ((5, 5), (10, 10))


def test_preprocessing_is_the_networks_own_unless_wished_otherwise() -> None:
    spec = BackboneSpec(name="timm:resnet152.tv_in1k")
    own = preprocessing_for(spec)
    assert (own.height, own.width, own.resize, own.resize_to) == (224, 224, "shorter_side", 256)
    assert (own.mean, own.interpolation) == ((0.485, 0.456, 0.406), "bilinear")
    # The margin keeps its share: Show, Ask, Attend and Answer crops 448 out of 512.
    assert preprocessing_for(spec, size=448).resize_to == 512
    assert preprocessing_for(spec, size=448, resize_to=448).resize_to == 448
    squashed = preprocessing_for(spec, size=256, resize="squash", mean=(0.5, 0.5, 0.5), std=None)
    assert (squashed.height, squashed.resize, squashed.resize_to) == (256, "squash", None)
    assert (squashed.mean, squashed.std) == ((0.5, 0.5, 0.5), own.std)
    with pytest.raises(BadConfig, match="needs resize_to of at least 300"):
        preprocessing_for(spec, size=300, resize_to=200)
    with pytest.raises(BadConfig, match="resize_to goes with"):
        preprocessing_for(spec, resize="squash", resize_to=300)


def test_real_weights_know_a_palace(real_weights) -> None:
    """ImageNet weights, `pad_type` and mean as their README says; scikit-learn's two photos."""
    file = real_weights("mobilenetv2_100.safetensors")
    backbone = choose_backbone("timm:mobilenetv2_100", file, {"pad_type": "same"})
    assert backbone.spec.weights_sha256 == (
        "bff5e659cb57ea047eadd94c107e81430b35f11c0a877ce76d73445e2b1a0045"
    )
    half = (0.5, 0.5, 0.5)
    preprocessing = preprocessing_for(backbone.spec, resize="squash", mean=half, std=half)
    image = torch.from_numpy(np.array(load_sample_image("china.jpg"))).permute(2, 0, 1)
    regions = backbone(normalise(resize_and_crop(image, preprocessing), preprocessing)[None])
    assert regions.shape == (1, 49, 1280)
    assert regions.min() >= 0  # behind a ReLU6
    assert regions.max() <= 6
    head = load_file(file)
    logits = regions[0].mean(dim=0) @ head["classifier.weight"].T + head["classifier.bias"]
    assert int(logits.argmax()) == 698  # palace
    assert float(logits.softmax(dim=0).max()) == pytest.approx(0.312, abs=0.005)


def test_the_spec_says_what_it_is() -> None:
    spec = BackboneSpec(name="timm:resnet50.a1_in1k", options={"output_stride": 16, "a": True})
    again = BackboneSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.network == "resnet50.a1_in1k"
    assert again.options["a"] is True
    assert type(again.options["output_stride"]) is int
    for broken in ({"name": "resnet50"}, {"name": "timm:x", "wieghts": "hub"}):
        with pytest.raises(ValueError, match="validation error"):
            BackboneSpec.model_validate(broken)
    assert Preprocessing.model_config["frozen"]
