"""The healthy Shapes data that every fault is made of, and folders with one thing changed."""

from dataclasses import replace

import pytest

import saccade
from saccade.data.folder import DataFolder, write_folder
from saccade.data.records import SPLITS, Collection
from saccade.datasets.shapes import make_shapes


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    """A data folder of 200 small images, with questions and captions."""
    root = tmp_path_factory.mktemp("faults")
    make_shapes(root / "shapes", images={"train": 120, "val": 40, "test": 40}, size=48)
    saccade.prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    return DataFolder(root / "data")


@pytest.fixture
def records(healthy):
    """The records of the healthy folder."""
    questions = [one for split in SPLITS for one in healthy.questions(split)]
    captions = [one for split in SPLITS for one in healthy.captions(split)]
    root = str(healthy.image_root)
    return Collection("shapes", root, healthy.images(), questions, captions)


@pytest.fixture
def folder_of(records, tmp_path):
    """Write the records with other questions or captions as a data folder."""

    def write(**fields):
        write_folder(tmp_path / "data", replace(records, **fields))
        return DataFolder(tmp_path / "data")

    return write
