"""`pack` and `unpack`: plain tar in slices, equal bytes, damage named, kills survived."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import BadBundle, BadConfig
from saccade.core.formatting import byte_size, size_in_words
from saccade.data.folder import DataFolder
from saccade.transfer.pack import PartWriter, members_of, pack, write_tar
from saccade.transfer.pieces import CHUNK
from saccade.transfer.unpack import unpack
from tests.worlds import make_world


def fill(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def parts_of(folder):
    return sorted(folder.glob("pack.tar.*"))


FILES = {
    "run.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
    "empty": b"",
    "last/state": b"x" * 512,
    "名前/図.txt": "猫".encode(),
    "long/" + "d" * 120 + "/" + "f" * 110: b"long",
}


@pytest.fixture
def run(tmp_path):
    return fill(tmp_path / "run", FILES)


def test_there_and_back(run, tmp_path):
    made = pack(run, tmp_path / "out", part_size=5000)
    assert made.manifest.kind == "run folder"
    assert len(parts_of(tmp_path / "out")) == len(made.manifest.parts) > 3
    assert {path.stat().st_size for path in parts_of(tmp_path / "out")[:-1]} == {5000}
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "out", "run"]


def test_the_parts_are_a_tar_file_that_anybody_reads(run, tmp_path):
    pack(run, tmp_path / "out", part_size=1000)
    whole = b"".join(path.read_bytes() for path in parts_of(tmp_path / "out"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        names = archive.getnames()
        assert names == sorted(FILES, key=str.encode)
        assert {name: archive.extractfile(name).read() for name in names} == FILES
        assert {info.mtime for info in archive.getmembers()} == {0}


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
def test_cat_and_tar_undo_it_and_sha256sum_checks_it(run, tmp_path):
    pack(run, tmp_path / "out", part_size=1000)
    (tmp_path / "back").mkdir()
    said = subprocess.run(
        "sha256sum -c SHA256SUMS && cat pack.tar.* | tar x -C ../back",
        shell=True, cwd=tmp_path / "out", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "manifest.json: OK" in said.stdout
    assert contents(tmp_path / "back") == FILES


def test_equal_folders_give_equal_bytes_wherever_and_whenever(run, tmp_path):
    pack(run, tmp_path / "one", part_size=3000)
    other = fill(tmp_path / "other" / "place", dict(reversed(FILES.items())))
    os.utime(other / "empty", (1, 1))
    (other / "empty").chmod(0o600)
    pack(other, tmp_path / "two", part_size=3000)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


LINKED = {"a/far/" + "名" * 60: "b/weights", "b/again": "b/weights", "c/" + "x" * 101: "c/other"}


@pytest.fixture
def linked(tmp_path):
    """Two contents of three and two names; a third equals one of them and is a file of its own."""
    content = random.Random(0).randbytes(200_000)
    files = {"b/weights": content, "c/other": b"2" * 700, "d/copy": b"2" * 700, "run.json": b""}
    folder = fill(tmp_path / "linked", files)
    for name, old in LINKED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / old, folder / name)
    return folder


def groups(folder):
    """Names of each file."""
    found = {}
    for name in contents(folder):
        found.setdefault((folder / name).stat().st_ino, set()).add(name)
    return sorted(map(sorted, found.values()))


def test_a_file_of_several_names_is_packed_once(linked, tmp_path):
    made = pack(linked, tmp_path / "out", part_size=90_000).manifest
    assert made.bytes < 220_000
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["format"] == 3
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(linked)
    assert groups(tmp_path / "back") == groups(linked)
    assert len(groups(linked)) == 4
    assert pack(tmp_path / "back", tmp_path / "again", part_size=90_000).manifest == made
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_links_are_a_tar_files_own_and_come_after_their_file(linked, tmp_path):
    pack(linked, tmp_path / "out", part_size=90_000)
    whole = b"".join(path.read_bytes() for path in parts_of(tmp_path / "out"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = archive.getmembers()
        assert {one.name: one.linkname for one in members if one.islnk()} == {
            "b/again": "a/far/" + "名" * 60,
            "b/weights": "a/far/" + "名" * 60,
            "c/" + "x" * 101: "c/other",
        }
        archive.extractall(tmp_path / "back", filter="data")
    assert contents(tmp_path / "back") == contents(linked)
    assert groups(tmp_path / "back") == groups(linked)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
def test_tar_undoes_links(linked, tmp_path):
    pack(linked, tmp_path / "out", part_size=90_000)
    (tmp_path / "back").mkdir()
    words = "cat out/pack.tar.* | tar x -C back"
    subprocess.run(words, shell=True, cwd=tmp_path, check=True)
    assert contents(tmp_path / "back") == contents(linked)
    assert groups(tmp_path / "back") == groups(linked)


def test_where_a_disk_has_no_links_files_are_written_again(linked, tmp_path, monkeypatch):
    pack(linked, tmp_path / "out", part_size=90_000)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("saccade.transfer.unpack.os.link", refuse)
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(linked)
    assert len(groups(tmp_path / "back")) == 7


def test_a_begun_folder_with_damaged_links_is_mended(linked, tmp_path):
    pack(linked, tmp_path / "out", part_size=90_000)
    fill(tmp_path / ".back.unpacking", {"b/again": bytes(200_000), "b/weights": b"cut"})
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(linked)
    assert groups(tmp_path / "back") == groups(linked)


def test_packing_again_writes_only_what_differs(run, tmp_path):
    out = tmp_path / "out"
    made = pack(run, out, part_size=2000)
    count = len(made.manifest.parts)
    before = {path.name: path.stat().st_mtime_ns for path in parts_of(out)}
    again = pack(run, out, part_size=2000)
    assert again.kept == count
    assert {path.name: path.stat().st_mtime_ns for path in parts_of(out)} == before
    wanted = contents(out)
    parts_of(out)[1].unlink()
    parts_of(out)[1].write_bytes(b"short")
    with parts_of(out)[2].open("r+b") as stream:
        stream.seek(1999)
        stream.write(b"\xff")
    assert pack(run, out, part_size=2000).kept == count - 3
    assert contents(out) == wanted
    for path in parts_of(out):
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert pack(run, out, part_size=2000).kept == 0
    assert contents(out) == wanted


def test_another_size_leaves_no_part_of_the_old_one(run, tmp_path):
    pack(run, tmp_path / "out", part_size=1000)
    (tmp_path / "out" / "note.txt").write_text("mine")
    pack(run, tmp_path / "out", part_size=9000)
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == FILES
    assert (tmp_path / "out" / "note.txt").exists()
    assert len(parts_of(tmp_path / "out")) == 3


def test_every_damaged_and_missing_part_is_named_and_no_other(run, tmp_path):
    out = tmp_path / "out"
    pack(run, out, part_size=2000)
    good = contents(out)
    parts_of(out)[0].unlink()
    with (out / "pack.tar.0003").open("r+b") as stream:
        stream.write(b"?")
    (out / "pack.tar.0004").write_bytes(good["pack.tar.0004"][:-1])
    with pytest.raises(BadBundle) as error:
        unpack(out, tmp_path / "back")
    for said in ("0001 is missing", "0003 is damaged", "0004 has 1,999 of 2,000 bytes"):
        assert said in str(error.value)
    assert "0002" not in str(error.value)
    assert not (tmp_path / "back").exists()
    for number in (1, 3, 4):
        (out / f"pack.tar.000{number}").write_bytes(good[f"pack.tar.000{number}"])
    unpack(out, tmp_path / "back")
    assert contents(tmp_path / "back") == FILES


@settings(max_examples=25)
@given(
    files=st.dictionaries(
        st.text("ab/猫.", min_size=1, max_size=12), st.binary(max_size=3000), min_size=1, max_size=5
    ),
    part_size=st.integers(1, 4000),
)
def test_any_files_in_any_slices(files, part_size):
    names = [name for name in files if not {"", ".", ".."} & set(name.split("/"))]
    files = {n: files[n] for n in names if not any(o.startswith(f"{n}/") for o in names)}
    if not files:
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        fill(root / "data", files)
        part_size = max(part_size, 100)
        made = pack(root / "data", root / "out", part_size=part_size)
        whole = b"".join(path.read_bytes() for path in parts_of(root / "out"))
        assert len(whole) == made.manifest.bytes
        with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
            offsets = {info.name: info.offset_data for info in archive}
        assert offsets == {file.name: file.offset for file in made.manifest.files}
        unpack(root / "out", root / "back")
        assert contents(root / "back") == files


@pytest.mark.parametrize(
    "name", ["a" * 100, "a" * 101, "猫" * 60, "a" * 150 + "/" + "b" * 100, "a/" * 60 + "b"]
)
def test_the_size_of_a_member_is_known_before_it_is_written(tmp_path, name):
    fill(tmp_path / "data", {name: b"12345"})
    (member,) = members_of({name: tmp_path / "data" / name})
    made = pack(tmp_path / "data", tmp_path / "out").manifest
    assert made.files[0].offset + 512 == member.tar_bytes
    assert made.bytes % 10240 == 0
    assert member._replace(changed=0).info.mode == 0o644


def test_a_data_folder_takes_its_images_along_when_told(tmp_path, monkeypatch):
    made = make_world(tmp_path / "data")
    images = {image.file for image in made.images()}
    fill(tmp_path / "photos", {file: file.encode() for file in images})
    monkeypatch.setenv("SACCADE_IMAGES", str(tmp_path / "photos"))
    folder = DataFolder(made.path)
    store = {"features/x/features.npy": b"1", "features/x/half.part": b"1"}
    fill(folder.path, store)
    plain = pack(folder.path, tmp_path / "plain").manifest
    assert "features/x/features.npy" in {file.name for file in plain.files}
    assert not [file.name for file in plain.files if file.name.endswith((".part", ".png", ".jpg"))]
    shutil.rmtree(tmp_path / "plain")
    one = folder.image_root / sorted(images)[0]
    one.unlink()
    made = pack(folder.path, tmp_path / "out", images=True)
    assert made.left_out == 1
    unpack(tmp_path / "out", tmp_path / "far" / "away")
    monkeypatch.delenv("SACCADE_IMAGES")
    back = DataFolder(tmp_path / "far" / "away")
    found = [image for image in back.images() if (back.image_root / image.file).is_file()]
    assert {image.file for image in found} == images - {sorted(images)[0]}
    again = pack(back.path, tmp_path / "again", images=True)  # and on from there
    assert again.manifest == made.manifest
    assert "images/" not in str(pack(back.path, tmp_path / "third").manifest)


def test_what_is_not_packed(run, tmp_path):
    with pytest.raises(BadBundle, match="no such folder"):
        pack(tmp_path / "none", tmp_path / "out")
    with pytest.raises(BadBundle, match="lies in what is packed"):
        pack(run, run / "out")
    with pytest.raises(BadConfig, match="no images"):
        pack(run, tmp_path / "out", images=True)
    with pytest.raises(BadConfig, match="parts"):
        pack(run, tmp_path / "out", part_size=0)
    fill(tmp_path / "many", {"a": bytes(200_000)})
    with pytest.raises(BadConfig, match="parts"):
        pack(tmp_path / "many", tmp_path / "out", part_size=1)
    (tmp_path / "bare").mkdir()
    with pytest.raises(BadBundle, match="holds no files"):
        pack(tmp_path / "bare", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadBundle, match="is a file"):
        pack(run, tmp_path / "file")
    assert not (tmp_path / "out").exists()


def test_links_are_followed_but_not_in_circles_nor_into_nothing(run, tmp_path):
    far = fill(tmp_path / "disk", {"store/a": b"far"})
    (run / "features").symlink_to(far / "store")
    pack(run, tmp_path / "out")
    unpack(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / "features" / "a").read_bytes() == b"far"
    assert not (tmp_path / "back" / "features").is_symlink()
    (run / "loop").symlink_to(run)
    with pytest.raises(BadBundle, match="folder above"):
        pack(run, tmp_path / "out")
    (run / "loop").unlink()
    (run / "gone").symlink_to(run / "nothing")
    with pytest.raises(BadBundle, match="link to nothing"):
        pack(run, tmp_path / "out")
    (run / "gone").unlink()
    os.mkfifo(run / "pipe")
    with pytest.raises(BadBundle, match="neither file nor folder"):
        pack(run, tmp_path / "out")
    (run / "pipe").unlink()
    (run / "new\nline").write_text("")
    with pytest.raises(BadBundle, match="cannot be printed"):
        pack(run, tmp_path / "out")


def test_a_file_that_changes_while_it_is_packed_is_told(run, tmp_path):
    members = members_of({"a": run / "model.safetensors"})

    def write():
        with PartWriter(tmp_path, ["part"], 10**6) as parts:
            write_tar(members, parts, lambda _: None)

    (run / "model.safetensors").write_bytes(b"new")
    with pytest.raises(BadBundle, match="changed while") as error:
        write()
    assert error.value.location == str(run / "model.safetensors")
    (run / "model.safetensors").unlink()
    with pytest.raises(BadBundle, match="cannot be read"):
        write()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_stopped_packing_does_not_count(run, tmp_path, monkeypatch):
    pack(run, tmp_path / "out", part_size=2000)
    wanted = contents(tmp_path / "out")
    for path in parts_of(tmp_path / "out")[2:]:
        path.unlink()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("saccade.transfer.pack.os.fsync", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(run, tmp_path / "out", part_size=2000)
    with pytest.raises(BadBundle, match="packing did not end"):
        unpack(tmp_path / "out", tmp_path / "back")
    assert pack(run, tmp_path / "out", part_size=2000).kept == 2
    assert contents(tmp_path / "out") == wanted


KILLED = """
import sys
from pathlib import Path
from saccade.transfer.{verb} import {verb}
print("ready", flush=True)
{verb}(Path(sys.argv[1]), Path(sys.argv[2]){more})
"""


@pytest.mark.parametrize("after", [0.01, 0.05])
def test_who_is_killed_goes_on(tmp_path, after):
    files = {f"{number:03}": os.urandom(40_000) for number in range(200)}
    fill(tmp_path / "data", files)

    def killed(verb, source, target, more=""):
        code = KILLED.format(verb=verb, more=more)
        words = [sys.executable, "-c", code, str(source), str(target)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(after)
            child.send_signal(signal.SIGKILL)

    killed("pack", tmp_path / "data", tmp_path / "out", ", part_size=100_000")
    pack(tmp_path / "data", tmp_path / "out", part_size=100_000)
    killed("unpack", tmp_path / "out", tmp_path / "back")
    if not (tmp_path / "back").exists():  # else it was quicker
        unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == files
    assert [path.name for path in tmp_path.glob(".*")] == []
    assert not list((tmp_path / "out").glob(".*"))


def test_unpacking_goes_on_with_what_is_right_and_mends_what_is_not(run, tmp_path):
    pack(run, tmp_path / "out")
    left = {"run.json": b"{}", "model.safetensors": b"half", "last/state": b"y" * 512}
    begun = fill(tmp_path / ".back.unpacking", left)
    kept = (begun / "run.json").stat().st_ino
    unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == FILES
    assert (tmp_path / "back" / "run.json").stat().st_ino == kept
    fill(tmp_path / ".next.unpacking", {"strange": b""})
    with pytest.raises(BadBundle, match="strange, which is not of this bundle"):
        unpack(tmp_path / "out", tmp_path / "next")
    with pytest.raises(BadBundle, match="is there already"):
        unpack(tmp_path / "out", tmp_path / "back")


HELD = """
import sys, time
from pathlib import Path
import saccade.transfer.unpack as verb
def slowly(*_):
    print("at work", flush=True)
    time.sleep(60)
verb.{step} = slowly
verb.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("step", ["_refuse_damaged_parts", "place"])
@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_a_second_unpacking_is_refused_plainly_and_harms_nothing(run, tmp_path, step):
    pack(run, tmp_path / "out")
    back = tmp_path / "back"
    words = [sys.executable, "-c", HELD.format(step=step), str(tmp_path / "out"), str(back)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"at work\n"
        for _ in range(2):  # the one that is refused takes nothing away
            with pytest.raises(BadBundle, match=r"saccade unpack .* is at work here") as error:
                unpack(tmp_path / "out", back)
            assert error.value.location == str(back)
            assert "Wait for it" in error.value.hint
        assert (tmp_path / ".back.unpacking").is_dir()
        first.kill()
    unpack(tmp_path / "out", back)
    assert contents(back) == FILES
    assert not (tmp_path / ".back.unpacking").exists()


def test_who_comes_just_as_another_ends_is_told_that_it_is_there(run, tmp_path, monkeypatch):
    pack(run, tmp_path / "out")

    def other_ends(begun, _):
        monkeypatch.undo()
        unpack(tmp_path / "out", tmp_path / "back")

    monkeypatch.setattr("saccade.transfer.unpack._refuse_foreign", other_ends)
    with pytest.raises(BadBundle, match="is there already"):
        unpack(tmp_path / "out", tmp_path / "back")
    assert contents(tmp_path / "back") == FILES
    assert not (tmp_path / ".back.unpacking").exists()


def test_parts_that_are_damaged_leave_nothing_behind(run, tmp_path):
    pack(run, tmp_path / "out")
    (tmp_path / "out" / "pack.tar.0001").unlink()
    with pytest.raises(BadBundle, match="0001 is missing"):
        unpack(tmp_path / "out", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_folder_that_cannot_be_made_is_told(run, tmp_path):
    pack(run, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadBundle, match="cannot be read or written"):
        unpack(tmp_path / "out", tmp_path / "file" / "back")


def spoil(out, change):
    """Change a manifest and its sum, as an attacker could."""
    about = json.loads((out / "manifest.json").read_text())
    change(about)
    (out / "manifest.json").write_text(json.dumps(about))
    (out / "SHA256SUMS").unlink()


CHANGES = {
    "a newer format": lambda m: m.update(format=4),
    "no parts": lambda m: m.pop("parts"),
    "parts of other names": lambda m: m["parts"][0].update(name="../../x"),
    "parts in another order": lambda m: m["parts"].reverse(),
    "a whole of another length": lambda m: m.update(bytes=m["bytes"] + 1),
    "a file outside": lambda m: m["files"][0].update(name="../x"),
    "an absolute name": lambda m: m["files"][0].update(name="/x"),
    "a name that is a number": lambda m: m["files"][0].update(name=3),
    "a file beyond the end": lambda m: m["files"][-1].update(bytes=10**9),
    "files over each other": lambda m: m["files"][1].update(offset=0),
    "a negative size": lambda m: m["parts"][0].update(bytes=-1),
    "a sum that is none": lambda m: m["files"][0].update(sha256="x"),
    "a file twice": lambda m: m["files"][1].update(name=m["files"][0]["name"]),
    "a strange field": lambda m: m["files"][0].update(link="x"),
    "a size that is true": lambda m: m["files"][0].update(bytes=True),
    "the same as nothing": lambda m: m["files"][1].update(same_as="../x"),
    "the same as itself": lambda m: m["files"][1].update(same_as=m["files"][1]["name"]),
    "the same as what follows": lambda m: m["files"][1].update(same_as=m["files"][2]["name"]),
    "the same as what differs": lambda m: m["files"][1].update(same_as=m["files"][0]["name"]),
    "the same as a number": lambda m: m["files"][1].update(same_as=[1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_manifest_is_not_trusted(run, tmp_path, change):
    pack(run, tmp_path / "out", part_size=8000)
    spoil(tmp_path / "out", change)
    with pytest.raises(BadBundle) as error:
        unpack(tmp_path / "out", tmp_path / "back")
    assert error.value.location.endswith("manifest.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", "[" * 100_000])
def test_a_broken_manifest_is_told(run, tmp_path, text):
    pack(run, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text(text)
    with pytest.raises(BadBundle):
        unpack(tmp_path / "out", tmp_path / "back")
    (tmp_path / "out" / "SHA256SUMS").unlink()
    with pytest.raises(BadBundle):
        unpack(tmp_path / "out", tmp_path / "back")


def test_a_manifest_is_held_against_its_sum_and_files_against_theirs(run, tmp_path):
    pack(run, tmp_path / "out")
    text = (tmp_path / "out" / "manifest.json").read_text()
    (tmp_path / "out" / "manifest.json").write_text(text.replace("run folder", "folder"))
    with pytest.raises(BadBundle, match="SHA256SUMS knows another"):
        unpack(tmp_path / "out", tmp_path / "back")
    (tmp_path / "out" / "manifest.json").write_text(text)
    wrong = hashlib.sha256(b"other").hexdigest()
    spoil(tmp_path / "out", lambda m: m["files"][0].update(sha256=wrong))
    with pytest.raises(BadBundle, match="not what the manifest says"):
        unpack(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_that_was_never_packed_is_told(tmp_path):
    with pytest.raises(BadBundle, match="there is none: `saccade pack` made no parts"):
        unpack(tmp_path, tmp_path / "back")


def test_a_disk_that_is_too_small_is_told_before(run, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    pack(run, tmp_path / "out")
    monkeypatch.setattr("saccade.core.files.shutil.disk_usage", lambda _: free)
    with pytest.raises(BadBundle, match="100 bytes are free"):
        pack(run, tmp_path / "other")
    with pytest.raises(BadBundle, match="100 bytes are free"):
        unpack(tmp_path / "out", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_memory_does_not_grow_with_the_bytes(tmp_path):
    import tracemalloc

    with (fill(tmp_path / "big", {"run.json": b"{}"}) / "weights").open("wb") as stream:
        stream.truncate(200_000_000)  # a hole: no such space is taken
    tracemalloc.start()
    try:
        pack(tmp_path / "big", tmp_path / "out", part_size=60_000_000)
        unpack(tmp_path / "out", tmp_path / "back")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 * CHUNK


def test_the_command_line_packs_and_unpacks(run, tmp_path):
    out, back = tmp_path / "out", tmp_path / "back"
    told = CliRunner().invoke(app, ["pack", str(run), "--out", str(out), "--part-size", "3kB"])
    assert told.exit_code == 0
    assert "Next: saccade unpack out --out run" in told.stdout
    assert "parts in" in told.stdout
    told = CliRunner().invoke(app, ["pack", str(run), "--out", str(tmp_path / "one")])
    assert "in one part in" in told.stdout
    told = CliRunner().invoke(app, ["unpack", str(out), "--out", str(back)])
    assert "a run folder" in told.stdout
    told = CliRunner().invoke(app, ["pack", str(run), "--out", str(out), "--part-size", "big"])
    assert told.exit_code == 1
    assert "such as 500MB" in told.stderr


@pytest.mark.parametrize(
    ("text", "count"),
    [("500MB", 500_000_000), ("1.5 GB", 1_500_000_000), ("7", 7), ("1KiB", 1024), ("2mib", 2**21),
     ("1T", 10**12), ("10B", 10)],
)  # fmt: skip
def test_sizes_are_read(text, count):
    assert byte_size(text) == count


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 2", "5iB", "1,5GB", "nan", "1e9"])
def test_sizes_that_are_none(text):
    with pytest.raises(BadConfig):
        byte_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "size unknown"), (0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"),
     (252_872_794, "253 MB"), (999_900_000, "1,000 MB"), (13_510_573_713, "13.5 GB"),
     (1_234_567_000_000, "1,235 GB")],
)  # fmt: skip
def test_sizes_are_said(count, text):
    assert size_in_words(count) == text
