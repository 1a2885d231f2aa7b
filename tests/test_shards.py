"""Shards of a store: made apart, merged into what one process makes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from saccade.core.errors import BadConfig, BadStore, SaccadeError
from saccade.features import shards, store_writer
from saccade.features.extract import extract
from saccade.features.shards import merge_shards, shard_of
from saccade.features.store import FeatureStore, verify_store
from tests.test_extract import NET, USUAL, files, folder_at, images  # noqa: F401  a fixture


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store_writer, shards):
        monkeypatch.setattr(module, "CHUNK", 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:  # noqa: F811
    """A data folder with a whole store of two views, and its three shards."""
    data = folder_at(tmp_path_factory.mktemp("sharded") / "data", images)
    with pytest.MonkeyPatch.context() as patch:
        for module in (store_writer, shards):
            patch.setattr(module, "CHUNK", 4)
        settings: dict[str, Any] = {**USUAL, "views": 2}
        extract(data, NET, **settings)
        for number in (3, 1, 2):
            extract(data, NET, **settings, shard=f"{number}/3")
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy without the whole store."""
    shutil.copytree(made, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/features/net")
    return tmp_path / "data"


def test_merged_shards_are_the_store_of_one_process(made: Path, data: Path) -> None:
    merged = merge_shards([data / "shards/net"])
    assert merged == data / "features/net"
    assert files(merged) == files(made / "features/net")
    verify_store(merged)
    assert FeatureStore.open(merged).views == 2
    assert merge_shards([data / "shards/net"]) == merged  # complete already


def test_a_merge_that_was_stopped_goes_on(
    made: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = store_writer.StoreWriter.add, []

    def stopping(*given: Any, **columns: Any) -> None:
        if len(added) == 5:
            raise KeyboardInterrupt
        added.append(given)
        add(*given, **columns)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer.StoreWriter, "add", stopping)
        with pytest.raises(KeyboardInterrupt):
            merge_shards([data / "shards/net"])
    merged = merge_shards([data / "shards/net"])
    assert files(merged) == files(made / "features/net")


def test_a_shard_is_resumed_and_known_as_one(data: Path) -> None:
    part = data / "shards/net/2-of-3"
    before = files(part)
    assert extract(data, NET, **USUAL, views=2, shard="2/3") == part
    assert files(part) == before
    with pytest.raises(BadStore) as refused:
        FeatureStore.open(part)
    assert "store merge" in str(refused.value)


def damage_rows(part: Path) -> None:
    file = part / "features.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def unfinish(part: Path) -> None:
    header = json.loads((part / "header.json").read_text())
    (part / "header.json").write_text(json.dumps(header | {"complete": False}))


def other_weights(part: Path) -> None:
    header = json.loads((part / "header.json").read_text())
    header["backbone"]["weights_sha256"] = "0" * 64
    (part / "header.json").write_text(json.dumps(header))


def other_rows(part: Path) -> None:
    header = json.loads((part / "header.json").read_text())
    header["shard"]["start"] -= 1
    (part / "header.json").write_text(json.dumps(header))


@pytest.mark.parametrize("fault", [shutil.rmtree, damage_rows, unfinish, other_weights, other_rows])
def test_shards_that_make_no_store_are_refused_and_named(data: Path, fault: Any) -> None:
    fault(data / "shards/net/2-of-3")
    with pytest.raises(BadStore) as refused:
        merge_shards([data / "shards/net"])
    assert "shards/net" in str(refused.value.location)
    if (data / "features/net").exists():
        with pytest.raises(BadStore):
            FeatureStore.open(data / "features/net")


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "1/0", "-1/3", "a/b", "1/99"])
def test_a_shard_that_is_none_is_refused(data: Path, shard: str) -> None:
    with pytest.raises(SaccadeError):
        extract(data, NET, **USUAL, shard=shard)


@pytest.mark.parametrize(("rows", "batch"), [(46, 2), (47, 1), (13, 3), (100, 7)])
def test_shards_cover_all_rows_once_and_begin_with_a_chunk(rows: int, batch: int) -> None:
    found = [shard_of(f"{n}/3", rows, batch) for n in (1, 2, 3)]
    assert [one.start for one in found] == [0, *(one.end for one in found[:-1])]
    assert found[-1].end == rows
    chunk = max(4 // batch, 1) * batch
    assert all(one.start % chunk == 0 for one in found)
    with pytest.raises(BadConfig):
        shard_of("1/200", rows, batch)
