"""Each fault of image files and their pixels raises its finding, and healthy images none."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.checks.features import read_content
from saccade.core.errors import BadStore
from saccade.data.folder import DataFolder, write_folder
from saccade.features.store import FeatureStore


@pytest.fixture
def extracted(records, tmp_path):
    """Extract the pixels of a copy of the Shapes images, after a change to each of some files."""

    kept = {image.id for image in records.images[::2]}  # 20 of validation
    few = replace(
        records,
        images=[image for image in records.images if image.id in kept],
        questions=[one for one in records.questions if one.image_id in kept],
        captions=[one for one in records.captions if one.image_id in kept],
    )

    def extract(change=lambda pixels: pixels, every=1):
        root = tmp_path / "images"
        shutil.copytree(records.image_root, root)
        for image in few.images[::every]:
            file = root / image.file
            with Image.open(file) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            Image.fromarray(np.asarray(change(pixels), np.uint8)).save(file)
        write_folder(tmp_path / "data", replace(few, image_root=str(root)))
        saccade.extract(tmp_path / "data", "pixels", size=32, progress=False)
        return DataFolder(tmp_path / "data")

    return extract


def found(folder):
    return {one.name: one for one in saccade.check(folder.path)}


def bad(folder):
    return {name for name, one in found(folder).items() if one.level != "note"}


def test_healthy_images_raise_nothing(extracted):
    folder = extracted()
    assert bad(folder) == set()
    (content,) = [
        read_content(folder, FeatureStore.open(folder.store_path(name))) for name in folder.stores()
    ]
    assert content.complete
    assert content.table["file"]["decoded"].all()
    assert not content.changed


FAULTS = {
    "divided by 255 before saving": (lambda pixels: pixels // 128, 1, "normalised-images"),
    "all black": (lambda pixels: pixels // 60, 1, "black-images"),
    "all white": (lambda pixels: 252 + pixels // 100, 1, "white-images"),
    "one placeholder for a fifth": (lambda pixels: pixels * 0 + 99, 5, "one-placeholder"),
    "blue and red exchanged": (
        lambda pixels: pixels // 2 + np.array([0, 0, 60], np.uint8), 1, "exchanged-channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_images(extracted, fault):
    change, every, name = FAULTS[fault]
    assert name in found(extracted(change, every))


def copy_training_images(images, root, noise):
    train, val = ([one for one in images if one.split == split] for split in ("train", "val"))
    random = np.random.default_rng(0)
    for one, other in zip(train, val, strict=False):
        if not noise:
            shutil.copyfile(root / one.file, root / other.file)
            continue
        with Image.open(root / one.file) as opened:
            pixels = np.asarray(opened.convert("RGB")).astype(int)
        drawn = np.clip(pixels + random.integers(-2, 3, pixels.shape), 0, 255)
        Image.fromarray(drawn.astype(np.uint8)).save(root / other.file)


@pytest.mark.parametrize(
    ("noise", "name"), [(False, "copied-images"), (True, "near-copied-images")]
)
def test_validation_images_that_are_training_images(extracted, tmp_path, noise, name):
    folder = extracted()
    copy_training_images(folder.images(), tmp_path / "images", noise)
    shutil.rmtree(folder.store_path(folder.stores()[0]))
    saccade.extract(folder.path, "pixels", size=32, progress=False)
    one = found(folder)[name]
    assert one.count == len(folder.images("val"))
    assert "(val)" in one.examples[0]


def test_files_that_were_replaced_under_their_names(extracted, tmp_path):
    folder = extracted()
    first, second, third = folder.images()[:3]
    root = tmp_path / "images"
    Image.new("RGB", (48, 48), "red").save(root / first.file)
    os.utime(root / second.file, (0, 0))  # copied: another date, the same content
    (root / third.file).unlink()  # features are read without it
    one = found(folder)["images-replaced"]
    assert (one.count, one.examples) == (1, (first.file,))
    with pytest.raises(BadStore) as refused:
        saccade.extract(folder.path, "pixels", size=32, progress=False)
    assert first.file in refused.value.message


def test_a_store_of_an_older_version_is_read_in_part(extracted, tmp_path):
    folder = extracted()
    path = folder.store_path(folder.stores()[0])
    header = FeatureStore.open(path).header.replace(statistics=False)
    (path / "header.json").write_text(header.model_dump_json())
    (path / "statistics.npy").unlink()
    assert "no-statistics" in found(folder)
    assert saccade.extract(folder.path, "pixels", size=32, progress=False) == path
