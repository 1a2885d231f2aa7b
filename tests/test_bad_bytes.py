"""Files that are damaged or made to harm, and numbers that nobody means: told in one sentence."""

import io
import json
import pickle
import random
import zipfile
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

import saccade
from proofs import fuzz
from saccade.config import change
from saccade.core.errors import BadCheckpoint, BadConfig, BadData, SaccadeError, SaccadeWarning
from saccade.core.files import Limits
from saccade.data.folder import DataFolder
from saccade.datasets.plain_pickle import read_pickle
from saccade.datasets.row_files import read_rows
from saccade.features.store import read_header
from saccade.inference.predictor import MAX_QUESTION, EncodedImage
from saccade.interop.feature_reader import array_in, open_hdf5, shapes_in
from saccade.interop.torch_files import MAX_IN_A_KEY, read_checkpoint
from saccade.recipes.catalogue import RECIPES
from saccade.transfer.pieces import bar
from tests.worlds import make_world, write_untrained_run

NESTED = "[" * 100_000
IMAGE = EncodedImage(torch.zeros(1, 6, 12), torch.ones(1, 6, dtype=torch.bool), np.zeros((6, 4)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "data").path


class TestDataFolder:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("image_root", {"a": 1}),
            ("image_root", "a\x00b"),
            ("image_root", "\ud83d"),
            ("fingerprint", None),
            ("window", 5),
            ("splits", []),
            ("splits", {"train": {}}),
            ("splits", {"train": {"images": "1", "questions": 1, "captions": 1}}),
            ("files", {"read": 5}),
            ("notes", {}),
        ],
    )
    def test_a_field_of_another_kind_is_named(self, world, tmp_path, field, value):
        about = json.loads((world / "dataset.json").read_text()) | {field: value}
        (tmp_path / "dataset.json").write_text(json.dumps(about))
        with pytest.raises(BadData) as refused:
            DataFolder(tmp_path)
        assert refused.value.location == str(tmp_path / "dataset.json")
        assert field in refused.value.message

    @pytest.mark.parametrize("content", [NESTED, "1" * 5000, "", "null", '"\ud83d"'])
    def test_what_is_no_object_is_told(self, tmp_path, content):
        (tmp_path / "dataset.json").write_bytes(content.encode("utf-8", "surrogatepass"))
        with pytest.raises(BadData) as refused:
            DataFolder(tmp_path)
        assert refused.value.location == str(tmp_path / "dataset.json")


def test_files_of_json_that_are_nested_too_deeply(tmp_path):
    for name, read in (("header.json", read_header), ("run.json", saccade.load)):
        (tmp_path / name).write_text(NESTED)
        with pytest.raises(SaccadeError) as refused:
            read(tmp_path)
        assert refused.value.location == str(tmp_path / name)
    with pytest.raises(BadConfig):
        change(RECIPES["show-attend-tell"], f"train.schedule={NESTED}")


class TestGrowth:
    """Files that are small, and claim to be larger than any memory."""

    @pytest.fixture(autouse=True)
    def small_limits(self, monkeypatch):
        for room in ("saccade.interop.feature_reader", "saccade.datasets.row_files"):
            monkeypatch.setattr(f"{room}.Limits", partial(Limits, always=1_000_000))

    def test_npz(self, tmp_path):
        np.savez_compressed(tmp_path / "small.npz", x=np.zeros((100, 100)))
        assert shapes_in(tmp_path / "small.npz") == {"x": (100, 100)}
        np.savez_compressed(tmp_path / "large.npz", x=np.zeros(200_000))  # 1.6 MB of 2 kB
        with pytest.raises(BadData) as refused:
            shapes_in(tmp_path / "large.npz")
        assert refused.value.location == str(tmp_path / "large.npz")

    def test_npz_whose_header_lies(self, tmp_path):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
        )
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("x.npy", header.getvalue())
        with pytest.raises(BadData):
            shapes_in(tmp_path / "x.npz")

    def test_hdf5_of_rows_that_are_not_there(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("ids", (10**9,), "i8", chunks=(1000,))
        with open_hdf5(path) as file, pytest.raises(BadData) as refused:
            array_in(file, "ids", path, 1)
        assert refused.value.location == str(path)

    def test_parquet_of_one_value_many_times(self, tmp_path):
        path = tmp_path / "x.parquet"
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(600_000, np.int8)), ["x"])
        pq.write_table(pa.table({"question": column, "answer": column}), path)
        assert path.stat().st_size < 10_000
        with pytest.raises(BadData) as refused:
            read_rows(path)
        assert refused.value.location == str(path)


class TestKeysOfPickles:
    """To hash a tuple costs as much as all that it holds, each time that it stands there."""

    @staticmethod
    def doubled(depth):
        """A dict with a key that holds 2 ** depth empty tuples."""
        code = pickle.EMPTY_DICT + pickle.EMPTY_TUPLE
        return code + (pickle.DUP + pickle.TUPLE2) * depth + pickle.NONE + pickle.SETITEM + b"."

    @staticmethod
    def nested(depth):
        return (
            pickle.EMPTY_DICT
            + pickle.EMPTY_TUPLE
            + pickle.TUPLE1 * depth
            + pickle.NONE
            + pickle.SETITEM
            + b"."
        )

    @pytest.mark.parametrize("how", ["doubled", "nested"])
    def test_a_key_of_more_values_than_any_program_writes(self, tmp_path, how):
        make, path = getattr(self, how), tmp_path / "x.pkl"
        deep = 7 if how == "doubled" else MAX_IN_A_KEY + 1  # 128 values, and 101: harmless both
        path.write_bytes(make(deep))
        with pytest.raises(BadCheckpoint) as refused:
            read_checkpoint(path)
        assert refused.value.location == str(path)
        with pytest.raises(BadData):
            read_pickle(path)

    def test_pairs_of_words_are_read(self, tmp_path):
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps({("a", "b"): 1, (1, (2, 3)): 2}, protocol=2))
        assert read_checkpoint(path) == {("a", "b"): 1, (1, (2, 3)): 2}


class TestNumbersThatNobodyMeans:
    @pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
    def test_seeds(self, seed):
        with pytest.raises(BadConfig) as refused:
            change(RECIPES["show-attend-tell"], f"train.seed={seed}")
        assert "train.seed" in str(refused.value)
        assert change(RECIPES["show-attend-tell"], f"train.seed={2**64 - 1}")

    def test_numbers_of_answers_captions_and_samples(self, world, tmp_path):
        folder = DataFolder(world)
        run = write_untrained_run(folder, "show-ask-attend-answer-small", tmp_path / "a")
        asked = saccade.load(run, "cpu")
        for top in (0, -1):
            with pytest.raises(BadConfig) as refused:
                asked.ask(IMAGE, "What is it?", top)
            assert refused.value.location == "top"
        assert len(asked.ask(IMAGE, "What is it?", 1).top) == 1
        run = write_untrained_run(folder, "show-attend-tell-small", tmp_path / "b")
        told = saccade.load(run, "cpu")
        for use in (lambda: told.sample(IMAGE, 0), lambda: told.caption(IMAGE, 0)):
            with pytest.raises(BadConfig):
                use()

    def test_a_question_longer_than_any(self, world, tmp_path):
        """Its beginning is read, and that is told: a network takes a step for each word."""
        folder = DataFolder(world)
        run = write_untrained_run(folder, "show-ask-attend-answer-small", tmp_path / "run")
        asked = saccade.load(run, "cpu")
        with pytest.warns(SaccadeWarning, match="5,000"):
            words = asked.read_question("is it a cat " * 50_000)
        assert len(words.ids) <= MAX_QUESTION


@pytest.mark.parametrize("name", ["words", "settings", "predictions csv", "predictions json"])
def test_random_changes_of_files_give_errors_of_this_program_alone(name):
    """A few of the inputs of `make proof`, which takes more of them, of every reader."""
    reader = fuzz.single_files()[f"file {name}"]
    kinds, first = fuzz.fuzz(name, reader, 40)
    assert not kinds, first


def test_the_fuzzer_finds_what_is_wrong():
    def read(root):
        text = (root / "x.json").read_text()
        return json.loads(text)["a"]

    reader = fuzz.Reader(lambda root: (root / "x.json").write_text('{"a": [1, 2]}'), read)
    kinds, first = fuzz.fuzz("broken", reader, 60)
    assert any(kind.startswith("JSONDecodeError") for kind in kinds)
    assert first.keys() == kinds.keys()


def test_half_characters_and_bytes_of_every_value_are_changed():
    draw = random.Random(5)
    changed = {fuzz.changed_bytes(b"question_id,answer\n5,dog\n", draw) for _ in range(200)}
    assert len(changed) > 150
    assert any(b"\xed\xa0\xbd" in one for one in changed)


def test_a_bar_of_bytes_shows_names_as_they_are(monkeypatch):
    """Braces and brackets are no fields and no styles; what a terminal obeys is an escape."""
    stream = io.StringIO()
    monkeypatch.setattr(
        "saccade.transfer.pieces.console",
        lambda: Console(file=stream, force_terminal=True, width=200, color_system=None),
    )
    with bar("packing to {run}[bold] \x1b]0;owned\x07") as show:
        show(1, 2)
    assert "packing to {run}[bold] \\x1b]0;owned\\x07" in stream.getvalue()
