"""`verify` reads every byte of a store: whatever became of one, it says so and names it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import BadStore
from saccade.features.convert import convert_store
from saccade.features.store import FeatureStore, verify_store
from saccade.features.store_format import MANIFEST, OWN, files_line
from saccade.features.store_writer import StoreWriter
from tests.test_store import IDS, IMAGES, content, fill, header, make

# Some bytes of an array's head make numpy warn before it refuses the file.
pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = ("grid", "boxes", "rows", "channels")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A grid; boxes with scores; these in bytes by row; these in bytes by channel."""
    root = tmp_path_factory.mktemp("data") / "features"
    arrays = content(about := header(grid=None, scores=True))
    arrays["scores"] = np.random.default_rng(1).random((len(IDS), 6)).astype(np.float32)
    with StoreWriter(root / "boxes", about, IDS) as writer:
        weights = save({"stem.weight": torch.arange(6.0)})
        (root / "boxes" / "backbone.safetensors").write_bytes(weights)
        fill(writer, arrays, until=len(IDS))
        writer.finish()
    make(root / "grid")
    convert_store(root / "boxes", dtype="int8", name="rows")
    convert_store(root / "boxes", scale="channel", name="channels")
    return {name: root / name for name in KINDS}


@contextmanager
def changed(file: Path, data: bytes | None) -> Iterator[None]:
    """A file with other bytes, or none, for as long as it is looked at."""
    before = file.read_bytes()
    file.unlink()  # a hard link must not change the other store's file too
    try:
        if data is not None:
            file.write_bytes(data)
        yield
    finally:
        file.write_bytes(before)


def check(path: Path) -> list[str]:
    return FeatureStore.open(path).verify()


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_has_a_checksum(stores: dict[str, Path], kind: str) -> None:
    path = stores[kind]
    names = {file.name for file in path.iterdir()}
    last = json.loads((path / MANIFEST).read_bytes().splitlines()[-1])
    assert set(last["files"]) == names - {MANIFEST}
    assert names <= OWN
    assert check(path) == []


@given(
    kind=st.sampled_from(KINDS),
    which=st.integers(0, 2**16),
    place=st.floats(0, 1, exclude_max=True),
    mask=st.integers(1, 255),
)
@example(kind="grid", which=3, place=0.0, mask=255)  # the first file's first byte, and ...
@example(kind="channels", which=7, place=0.9999, mask=1)  # ... the last file's last
@settings(max_examples=400)
def test_one_changed_byte_anywhere_is_found(
    stores: dict[str, Path], kind: str, which: int, place: float, mask: int
) -> None:
    files = sorted(stores[kind].iterdir())
    file = files[which % len(files)]
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= mask
    with changed(file, bytes(data)), pytest.raises(BadStore) as caught:
        check(stores[kind])
    assert caught.value.hint
    assert str(stores[kind]) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_cut_and_longer_files_are_named(stores: dict[str, Path], kind: str) -> None:
    path = stores[kind]
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        for data in (None, b"", whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
            with changed(file, data), pytest.raises(BadStore) as caught:
                check(path)
            told = str(caught.value)
            assert file.name in told, told
    assert check(path) == []


def test_all_that_is_damaged_is_named_at_once(stores: dict[str, Path]) -> None:
    path = stores["boxes"]
    spoilt = {}
    for name in ("backbone.safetensors", "skipped.json", "boxes.npy"):
        data = bytearray((path / name).read_bytes())
        data[-2] ^= 1
        spoilt[name] = bytes(data)
    with (
        changed(path / "backbone.safetensors", spoilt["backbone.safetensors"]),
        changed(path / "skipped.json", spoilt["skipped.json"]),
        changed(path / "boxes.npy", spoilt["boxes.npy"]),
        pytest.raises(BadStore) as caught,
    ):
        check(path)
    assert caught.value.message == (
        "rows 9 to 9 have changed since they were written; "
        "backbone.safetensors: has changed since it was written; "
        "skipped.json: has changed since it was written"
    )
    assert caught.value.hint.endswith(FeatureStore.open(path).header.command)


def test_what_is_missing_or_cut_hides_no_other_damage(stores: dict[str, Path]) -> None:
    path = stores["boxes"]
    text = (path / "header.json").read_bytes()
    whole = (path / "features.npy").read_bytes()
    size = len(whole)
    command = FeatureStore.open(path).header.command
    with (
        changed(path / "header.json", text.replace(b'"random"', b'"hub"')),
        changed(path / "scores.npy", None),
        changed(path / "features.npy", whole[:-7]),
        changed(path / "ids.npy", (path / "ids.npy").read_bytes()[::-1]),
    ):
        with pytest.raises(BadStore) as caught:
            verify_store(path)
        with pytest.raises(
            BadStore, match=r"Delete the folder .*: saccade extract DATA --backbone"
        ):
            FeatureStore.open(path)
    assert caught.value.message == (
        f"features.npy: not whole: its {size - 7:,} bytes are no float16 (10, 6, 5); "
        "scores.npy: missing; "
        "ids.npy: not whole: its 208 bytes are no int64 (10,); "
        "the rows cannot be compared without features.npy, scores.npy; "
        "header.json: has changed since it was written"
    )
    assert caught.value.hint.endswith(command)
    told = CliRunner().invoke(app, ["store", "verify", str(path)])
    assert told.exit_code == 0, told.output


def test_many_damages_are_counted(tmp_path: Path) -> None:
    about = header()
    with StoreWriter(tmp_path / "store", about, IDS) as writer:
        for row in range(len(IDS)):
            writer.add(**{name: array[row : row + 1] for name, array in content(about).items()})
            writer.close_chunk()
        writer.finish()
    with (tmp_path / "store" / "features.npy").open("r+b") as stream:
        stream.seek(-600, 2)
        stream.write(b"\xaa" * 600)
    with pytest.raises(BadStore, match=r"rows 4 to 4 have changed .*; and 5 others\. Copy it"):
        check(tmp_path / "store")


@pytest.mark.parametrize(
    "ids",
    [IDS[::-1], np.roll(IDS, 1), np.sort(np.append(IDS[1:], IDS[1])), IDS[[1, 0, *range(2, 10)]]],
)
def test_ids_out_of_order_are_told(tmp_path: Path, ids: np.ndarray) -> None:
    """Also where the checksums agree with them, as after a careless program."""
    path = tmp_path / "store"
    make(path)
    np.save(path / "ids.npy", ids)
    chunks = (path / MANIFEST).read_bytes().splitlines(keepends=True)[:-1]
    (path / MANIFEST).write_bytes(b"".join(chunks))
    (path / MANIFEST).write_bytes(b"".join([*chunks, files_line(path, header().columns())]))
    with pytest.raises(BadStore, match=r"ids\.npy: the ids do not rise"):
        FeatureStore.open(path)


def test_far_apart_ids_still_rise(tmp_path: Path) -> None:
    ids = np.array([np.iinfo(np.int64).min, *IDS[1:-1], np.iinfo(np.int64).max])
    with StoreWriter(tmp_path / "store", header(), ids) as writer:
        fill(writer, content(header()), until=len(IDS))
        writer.finish()
    assert FeatureStore.open(tmp_path / "store").rows(ids[-1:]).tolist() == [9]


def test_ids_of_other_images_are_told_when_the_store_is_used(tmp_path: Path) -> None:
    """Rows of another image would be read in silence: its fingerprint says nothing of ids.npy."""
    path = tmp_path / "store"
    make(path)
    np.save(path / "ids.npy", np.append(IDS[:-1], 234))
    with pytest.raises(BadStore, match=r"ids\.npy: the ids are not those of the images"):
        FeatureStore.open(path, images=IMAGES)
    with pytest.raises(BadStore, match=r"ids\.npy: has changed since it was written"):
        check(path)


def test_other_files_do_no_harm_and_are_named(stores: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(stores["grid"], tmp_path / "store"))
    (path / "thesis.tex").touch()
    (path / "header.json.part").touch()
    (path / "old").mkdir()
    assert check(path) == [
        "header.json.part: left by a process that was killed; it can be deleted",
        "old: not part of the store",
        "thesis.tex: not part of the store",
    ]
    (path / "backbone.safetensors").touch()  # a name of ours, and no file of this store
    with pytest.raises(BadStore, match=r"backbone\.safetensors: has no checksum"):
        check(path)


@pytest.mark.parametrize("version", [1, 2])
def test_stores_of_older_versions_are_refused(
    stores: dict[str, Path], tmp_path: Path, version: int
) -> None:
    """With the command that makes them again, wherever a store is read."""
    old = Path(shutil.copytree(stores["grid"], tmp_path / "old"))
    fields = json.loads((old / "header.json").read_text())
    (old / "header.json").write_text(json.dumps({**fields, "format": version}))
    (old / MANIFEST).rename(old / "chunks.jsonl")
    with pytest.raises(BadStore, match=f"older version of saccade .format {version}.") as caught:
        FeatureStore.open(old)
    assert caught.value.location == str(old)
    assert caught.value.hint.endswith(fields["command"])
    for read in (verify_store, convert_store, lambda path: StoreWriter(path, header(), IDS)):
        with pytest.raises(BadStore, match="older version"):
            read(old)


def test_a_manifest_without_its_end_is_told_and_written_again(tmp_path: Path) -> None:
    """As after a crash between the last chunk and the header."""
    path = tmp_path / "store"
    make(path)
    manifest, about = (path / MANIFEST).read_bytes(), (path / "header.json").read_text()
    (path / MANIFEST).write_bytes(b"".join(manifest.splitlines(keepends=True)[:-1]))
    with pytest.raises(BadStore, match=r"manifest\.jsonl: does not end with the checksums"):
        check(path)
    for rest in (b"", manifest.splitlines(keepends=True)[-1], b'{"files'):
        with (path / MANIFEST).open("ab") as stream:
            stream.write(rest)
        text = about.replace('"complete": true', '"complete": false')
        (path / "header.json").write_text(text)
        with StoreWriter(path, header(), IDS) as writer:
            assert (writer.done, writer.complete) == (len(IDS), False)
            writer.finish()
        assert (path / MANIFEST).read_bytes() == manifest
        assert check(path) == []
        (path / MANIFEST).write_bytes(b"".join(manifest.splitlines(keepends=True)[:-1]))


def test_checking_a_complete_store_again_changes_nothing(tmp_path: Path) -> None:
    """Not even its manifest, whose checksums are all that tells what is damaged."""
    path = tmp_path / "store"
    make(path)
    manifest = path / MANIFEST
    spoilt = manifest.read_bytes().replace(b"start", b"stort", 1)
    manifest.write_bytes(spoilt)
    with StoreWriter(path, header(), IDS) as writer:
        assert writer.complete
    assert manifest.read_bytes() == spoilt


def test_the_command_line_says_notes_and_damage(stores: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(stores["boxes"], tmp_path / "store"))
    (path / "notes.txt").touch()
    told = CliRunner().invoke(app, ["store", "verify", str(path)])
    assert told.exit_code == 0, told.output
    assert told.stderr == "note: notes.txt: not part of the store\n"
    assert told.stdout == f"{path} is whole: 10 images\n"
    np.save(path / "ids.npy", IDS - 1)
    told = CliRunner().invoke(app, ["store", "verify", str(path)])
    assert told.exit_code == 1
    assert "ids.npy: has changed since it was written. Copy it again" in told.stderr
