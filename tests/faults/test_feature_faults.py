"""Each fault of a feature store raises its finding, and healthy features none."""

import numpy as np
import pytest

import saccade
from saccade.checks.association import association_z
from saccade.core.errors import BadConfig, BadData
from saccade.data.folder import DataFolder
from saccade.features.statistics import FILE, image_statistics
from saccade.features.store import FeatureStore, read_header
from saccade.features.store_writer import StoreWriter
from tests.worlds import make_world

RECIPE = "show-ask-attend-answer-small"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data folder whose features say what is in each of 400 images."""
    return make_world(tmp_path_factory.mktemp("features") / "data", train=320, val=80)


@pytest.fixture
def store_of(world, tmp_path):
    """Write other features, of what is shown in each image, as the store of a folder like it."""

    def write(change, **header):
        store = FeatureStore.open(world.store_path("cells"))
        splits = {image.id: image.split for image in world.images()}
        features = change(
            np.array(store.features, np.float32), np.array([splits[i] for i in store.ids.tolist()])
        )
        for name in ("dataset.json", "images.parquet", "questions.parquet", "captions.parquet"):
            (tmp_path / name).write_bytes((world.path / name).read_bytes())
        counts = header.pop("counts", store.counts)
        made = store.header.replace(complete=False, statistics=True, **header)
        path = tmp_path / "features/cells"
        kept = features.astype(made.dtype)
        files = image_statistics(kept, counts, made.grid, np.zeros(len(kept), FILE))
        with StoreWriter(path, made, store.ids) as writer:
            for start in range(0, len(kept), 100):
                part = slice(start, start + 100)
                writer.add(kept[part], counts[part], store.sizes[part], statistics=files[part])
            writer.finish()
        return DataFolder(tmp_path)

    return write


def names(folder):
    return {one.name for one in saccade.check(folder.path) if one.level != "note"}


def trained(features, _):
    return features


TRAINED = {"name": "timm:test_resnet", "weights": "file"}


def some(places, value):
    def change(features, splits):
        features[np.flatnonzero(splits == places)[:5]] = value
        return features

    return change


def noise(features, _):
    return np.random.default_rng(0).normal(0, 1, features.shape)


def shuffled(features, _):
    return features[np.random.default_rng(0).permutation(len(features))]


def near_copies(features, splits):
    found = np.flatnonzero(splits == "val")
    drawn = np.random.default_rng(0).normal(0, 0.001, features[: len(found)].shape)
    features[found] = features[np.flatnonzero(splits == "train")[: len(found)]] + drawn
    return features


def changed_copies(features, splits):
    """As of images that were cut or turned: far nearer to their originals than to all others."""
    drawn = np.random.default_rng(0)
    images = drawn.normal(0, 1, (len(features), 1, features.shape[2]))
    val = np.flatnonzero(splits == "val")
    images[val] = images[: len(val)] + 0.3 * images[val]
    return features + 50 * images


def drawn_into_training(features, splits):
    features[splits == "train", 0] += 5
    return features


def one_row(features, _):
    features[::10] = features[0]
    return features


FAULTS = {
    "NaN in training images": (some("train", np.nan), "nan-features"),
    "NaN in validation images": (some("val", np.nan), "nan-features"),
    "infinity": (some("train", np.inf), "infinite-features"),
    "rows that were never written": (some("train", 0), "zero-features"),
    "one number throughout": (some("val", 0.5), "constant-features"),
    "all are zero": (lambda features, _: features * 0, "zero-features"),
    "all are one image's": (lambda features, _: features * 0 + features[:1], "repeated-features"),
    "a tenth is one image's": (one_row, "repeated-features"),
    "no spread": (
        lambda features, _: (100 + features * 1e-4).astype(np.float32), "no-spread",
    ),
    "random numbers": (noise, "features-unrelated"),
    "shuffled against the ids": (shuffled, "features-unrelated"),
    "near copies in validation": (near_copies, "near-copied-images"),
    "changed copies in validation": (changed_copies, "near-copied-images"),
    "a mark on training images": (drawn_into_training, "splits-look-different"),
}  # fmt: skip


@pytest.mark.parametrize("factor", [1, 3000])
def test_healthy_features_raise_nothing(store_of, factor):
    folder = store_of(lambda features, _: features * factor, dtype="float32", backbone=TRAINED)
    assert names(folder) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_features(store_of, fault):
    change, name = FAULTS[fault]
    folder = store_of(change, dtype="float32", backbone=TRAINED)
    found = {one.name: one for one in saccade.check(folder.path)}
    assert name in found, [*found]
    assert found[name].message
    assert found[name].hint


def test_a_network_that_was_never_trained(store_of):
    assert "untrained-backbone" in names(store_of(trained))


@pytest.mark.parametrize(("share", "name"), [(8, "most-images-left-out"), (1, "images-left-out")])
def test_images_without_features(store_of, share, name):
    counts = np.full(400, 6, np.int32)
    counts[np.arange(400) % 10 < share] = 0
    assert name in names(store_of(trained, counts=counts, backbone=TRAINED))


@pytest.mark.parametrize("change", ["shuffled", "nan"])
def test_features_that_were_changed_since(store_of, change):
    folder = store_of(trained, backbone=TRAINED)
    path = folder.store_path("cells") / "features.npy"
    features = np.load(path)
    if change == "nan":
        features[3] = np.nan
    else:
        features = shuffled(features, None)
    np.save(path, features)
    found = names(folder)
    assert "features-changed" in found
    assert ("nan-features" in found) == (change == "nan")


def test_mean_and_std_of_the_wrong_scale(world, store_of):
    settings = read_header(world.store_path("cells")).preprocessing
    wrong = settings.replace(mean=(123.68, 116.78, 103.94), std=(58.4, 57.1, 57.4))
    assert "preprocessing-range" in names(store_of(trained, preprocessing=wrong, backbone=TRAINED))
    with pytest.raises(BadConfig, match="mean"):
        saccade.extract(world.path, "timm:test_resnet", mean=wrong.mean)
    with pytest.raises(BadConfig, match="std"):
        saccade.extract(world.path, "timm:test_resnet", std=wrong.std)


def test_training_stops_at_an_error_and_passes_what_is_allowed(store_of, tmp_path):
    folder, out = store_of(some("train", np.nan), dtype="float32"), tmp_path / "run"
    with pytest.raises(BadData) as refused:
        saccade.train(RECIPE, folder.path, out, device="cpu")
    assert refused.value.location == str(folder.path)
    assert "nan-features" in refused.value.hint
    assert not out.exists()


def test_association_is_zero_for_noise_and_large_for_copies():
    random = np.random.default_rng(1)
    one, other = random.normal(size=(500, 40)), random.normal(size=(500, 10))
    assert abs(association_z(one, other)) < 3
    assert association_z(one, one[:, :10] + 0.5 * other) > 30
    assert association_z(one, np.ones((500, 3))) == 0
