"""The verb `download`: the table, the record beside the files, and archives that attack."""

import hashlib
import io
import json
import os
import re
import stat
import sys
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core import files
from saccade.core.errors import BadConfig, BadDownload
from saccade.core.files import Limits, held
from saccade.datasets.catalogue import SOURCES
from saccade.datasets.downloads import DOWNLOADS, Download, File
from saccade.datasets.prepare import prepare
from saccade.transfer.archives import unpack
from saccade.transfer.download import download, plan
from saccade.transfer.http import Patience, why_refused
from saccade.transfer.pieces import why_unsafe
from tests.web_site import serve

QUICK = Patience(attempts=2, timeout=5.0, wait=lambda _: None)


def zipped(members, **kind):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, **kind)
    return made.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as made:
        yield made


@pytest.fixture
def toy(site, monkeypatch):
    """A set of two files, one of known sum, and one that must be asked for."""
    site.files["/q.zip"] = zipped({"questions.json": "[1]", "sub/more.json": "[2]"})
    site.files["/list.txt"] = b"one\n"
    files = (
        File("q.zip", (f"{site.url}/q.zip",), None, sha256(site.files["/q.zip"]), "the test"),
        File("list.txt", (f"{site.url}/list.txt",)),
    )
    monkeypatch.setitem(DOWNLOADS, "toy", Download("A toy", "CC0", "table", files))
    steps = ("Ask them.", "Unpack it to DIR.")
    asked = Download("On request", "theirs", "saccade prepare table --root DIR", (), steps, "so")
    monkeypatch.setitem(DOWNLOADS, "asked", asked)
    return site


def fetch(names, to, **more):
    told = []
    download(names, to, tell=told.append, patience=QUICK, **more)
    return told


def test_a_set_comes_is_unpacked_and_written_down(toy, tmp_path):
    told = fetch(["toy"], tmp_path / "to")
    assert (tmp_path / "to" / "sub" / "more.json").read_text() == "[2]"
    record = json.loads((tmp_path / "to" / "downloads.json").read_text())["files"]
    assert record["q.zip"]["checked"] == "published"
    assert record["q.zip"]["unpacked"] == ["questions.json", "sub"]
    assert record["list.txt"] == {
        "url": f"{toy.url}/list.txt",
        "bytes": 4,
        "sha256": sha256(b"one\n"),
        "checked": "seen first",
    }
    assert any("CC0" in line for line in told)
    assert not list((tmp_path / "to").rglob("*.part*"))


def test_again_fetches_nothing_and_only_what_is_missing(toy, tmp_path):
    fetch(["toy"], tmp_path)
    toy.asked.clear()
    fetch(["toy"], tmp_path)
    assert toy.asked == []
    (tmp_path / "q.zip").unlink()  # unpacked: needed no more
    (tmp_path / "list.txt").unlink()
    assert any("unpacked before" in line for line in fetch(["toy"], tmp_path))
    assert [path for path, _ in toy.asked] == ["/list.txt"]
    (tmp_path / "questions.json").unlink()
    fetch(["toy"], tmp_path)
    assert (tmp_path / "questions.json").exists()


def test_a_file_that_changed_there_or_here_is_noticed(toy, tmp_path):
    fetch(["toy"], tmp_path)
    (tmp_path / "list.txt").unlink()
    toy.files["/list.txt"] = b"two\n"
    with pytest.raises(BadDownload, match="another file") as error:
        fetch(["toy"], tmp_path)
    assert "delete its entry" in error.value.hint
    assert not (tmp_path / "list.txt").exists()
    (tmp_path / "list.txt").write_bytes(b"my own\n")
    with pytest.raises(BadDownload, match="is not the file that is known"):
        fetch(["toy"], tmp_path)
    assert (tmp_path / "list.txt").read_bytes() == b"my own\n"


def test_what_a_server_packs_anew_may_differ_when_it_is_needed_again(toy, tmp_path, monkeypatch):
    file = File("fresh.zip", (f"{toy.url}/fresh.zip",), into="images", steady=False)
    monkeypatch.setitem(DOWNLOADS, "fresh", Download("x", "y", "z", (file,)))
    for content in ("one", "two"):
        toy.files["/fresh.zip"] = zipped({content: content})
        fetch(["fresh"], tmp_path)
        (tmp_path / "fresh.zip").unlink()
        (tmp_path / "images" / content).unlink()


def test_what_was_fetched_is_what_prepare_reads(toy, tmp_path, monkeypatch):
    rows = [
        {"qid": i, "image_name": f"{i}.jpg", "question": "Is it?", "answer": "yes",
         "answer_type": "CLOSED", "question_type": "PRES"}
        for i in range(4)
    ]  # fmt: skip
    toy.files["/trainset.json"] = json.dumps(rows).encode()
    toy.files["/images.zip"] = zipped({f"{i}.jpg": "" for i in range(4)})
    files = (
        File("trainset.json", (f"{toy.url}/trainset.json",)),
        File("images.zip", (f"{toy.url}/images.zip",), into="images"),
    )
    monkeypatch.setitem(DOWNLOADS, "rad", Download("x", "y", "vqa-rad", files))
    fetch(["rad"], tmp_path / "to")
    prepare(None, tmp_path / "to", tmp_path / "data")
    assert json.loads((tmp_path / "data" / "dataset.json").read_text())["source"] == "vqa-rad"


def test_a_mirror_is_tried_first_and_left_if_it_has_not_got_it(toy, tmp_path):
    with serve() as mirror:
        mirror.files["/sets/q.zip"] = toy.files["/q.zip"]
        told = fetch(["toy"], tmp_path, mirrors=[f"{mirror.url}/sets/"])
        assert [path for path, _ in mirror.asked] == ["/sets/q.zip", "/sets/list.txt"]
    assert [path for path, _ in toy.asked] == ["/list.txt"]
    assert any(f"from {mirror.url}/sets/q.zip" in line for line in told)


def test_what_must_be_asked_for_is_told_after_all_else_came(toy, tmp_path):
    told = fetch(["asked", "toy"], tmp_path)
    assert (tmp_path / "list.txt").exists()
    assert "  1. Ask them." in told
    assert f"  2. Unpack it to {tmp_path}." in told
    assert f"  3. saccade prepare table --root {tmp_path}" in told
    assert "asked is not fetched for you, since so. By hand:" in told
    left = "Left to you, by the steps above: asked"
    assert told[-1] == f"{left}; all else that was named is in {tmp_path}."


def test_a_set_that_must_be_had_by_hand_is_told_and_is_no_mistake(toy, tmp_path):
    """Nothing failed and nothing was written, not even the folder that is to hold it."""
    told = CliRunner().invoke(app, ["download", "asked", "--to", str(tmp_path / "new")])
    assert told.exit_code == 0, told.output
    assert told.stdout.endswith(f"--root {tmp_path}/new\nLeft to you, by the steps above: asked.\n")
    assert told.stderr == ""
    assert not (tmp_path / "new").exists()
    toy.files.clear()
    told = CliRunner().invoke(app, ["download", "asked", "toy", "--to", str(tmp_path / "new")])
    assert told.exit_code == 1
    assert "answers 404" in told.stderr


def test_who_waits_is_told_on_stderr(toy, tmp_path, capsys):
    toy.answers = [503]
    told = fetch(["toy"], tmp_path)
    assert capsys.readouterr().err == (
        f"q.zip: {toy.url}/q.zip answers 503 Service Unavailable; again in 2 s\n"
    )
    assert not any("again in" in line for line in told)


def test_a_cut_archive_without_a_known_sum_is_not_kept(toy, tmp_path, monkeypatch):
    line = Download("x", "y", "z", (File("x.zip", (f"{toy.url}/x.zip",)),))
    monkeypatch.setitem(DOWNLOADS, "cut", line)
    toy.files["/x.zip"] = toy.files["/q.zip"][:-30]
    with pytest.raises(BadDownload, match=r"sent no \.zip file"):
        fetch(["cut"], tmp_path)
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"a": 1}}', "\udcff"])
def test_a_broken_record_is_told(toy, tmp_path, text):
    (tmp_path / "downloads.json").write_text(text, errors="surrogateescape")
    with pytest.raises(BadDownload, match="cannot be read"):
        fetch(["toy"], tmp_path)


def test_two_at_once_in_one_folder_are_refused(toy, tmp_path):
    def tell(line):
        if "from" in line:
            with pytest.raises(BadDownload, match="saccade download"):
                fetch(["toy"], tmp_path)

    download(["toy"], tmp_path, tell=tell, patience=QUICK)


def test_a_folder_that_cannot_be_written_is_one_line(toy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadDownload, match="cannot be written"):
        fetch(["toy"], tmp_path / "file")


def test_the_plan_asks_nothing_of_the_network(toy, tmp_path):
    to = tmp_path / "not" / "yet"
    lines = list(plan(["toy", "asked"], to, ["https://m.org/x"]))
    assert toy.asked == []
    assert not to.parent.exists()
    assert lines[:11] == [
        "toy: A toy",
        "  licence: CC0",
        f"  q.zip: size unknown, unpacked to {to}",
        "    from https://m.org/x/q.zip",
        f"    or {toy.url}/q.zip",
        f"    SHA-256 {sha256(toy.files['/q.zip'])} (the test)",
        "  list.txt: size unknown",
        "    from https://m.org/x/list.txt",
        f"    or {toy.url}/list.txt",
        "    SHA-256 not published: the first to come is noted, later ones must be the same",
        "  Next: table",
    ]
    assert "asked is not fetched for you, since so. By hand:" in lines
    assert f"  3. saccade prepare table --root {to}" in lines
    assert lines[-1].startswith("These addresses are published, but this project has fetched")


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((), "nothing"),
        ((None,), "1 file of unknown size"),
        ((None, None), "2 files of unknown size"),
        ((7_000_000, 3_000_000), "10 MB"),
        ((7_000_000, None), "7 MB and 1 file of unknown size"),
    ],
)
def test_the_plan_says_how_much_as_far_as_anybody_knows(monkeypatch, tmp_path, sizes, said):
    files = tuple(File(f"{n}.txt", ("https://a.org/x",), size) for n, size in enumerate(sizes))
    steps = () if files else ("Ask.",)
    monkeypatch.setitem(DOWNLOADS, "some", Download("x", "y", "z", files, steps, "so"))
    lines = list(plan(["some"], tmp_path))
    assert any(line.startswith(f"To fetch to {tmp_path}: {said}; ") for line in lines)
    assert not any("Archives" in line or "0 bytes" in line for line in lines)
    for file in files:
        (tmp_path / file.name).write_text("")
    assert any(f"To fetch to {tmp_path}: nothing; " in line for line in plan(["some"], tmp_path))


def test_a_folder_with_a_blank_is_written_as_a_shell_wants_it(toy, tmp_path):
    lines = list(plan(["asked"], tmp_path / "my data"))
    assert f"  3. saccade prepare table --root '{tmp_path}/my data'" in lines


def test_a_known_sum_needs_no_known_size(toy, tmp_path):
    assert DOWNLOADS["toy"].files[0].bytes is None
    toy.files["/q.zip"] = zipped({"questions.json": "[2]"})
    with pytest.raises(BadDownload, match="has another file: its SHA-256"):
        fetch(["toy"], tmp_path)


def test_it_works_where_folders_cannot_be_locked(tmp_path, monkeypatch):
    """Windows opens no folders."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "open", None)
    with held(BadDownload, tmp_path / "to", "download", "--to"):
        assert (tmp_path / "to").is_dir()


def test_a_folder_that_is_renamed_meanwhile_is_made_again(tmp_path, monkeypatch):
    """A lock on the file of a folder that is elsewhere by now would keep nobody out."""
    to, gone, lock = tmp_path / "to", tmp_path / "gone", files.lock

    def locked(stream):
        if not gone.exists():
            to.rename(gone)
        return lock(stream)

    monkeypatch.setattr(files, "lock", locked)
    with held(BadDownload, to, "download", "--to"):
        assert (to / files.LOCK).exists()
    assert not to.exists()


def test_the_command_line_fetches_plans_and_refuses(toy, tmp_path):
    run = CliRunner().invoke
    planned = run(app, ["download", "toy", "--to", str(tmp_path), "--dry-run"])
    assert "licence: CC0" in planned.stdout
    assert toy.asked == []
    assert run(app, ["download", "toy", "--to", str(tmp_path)]).exit_code == 0
    wrong = run(app, ["download", "toi", "--to", str(tmp_path)])
    assert wrong.exit_code == 1
    assert "Did you mean 'toy'" in wrong.stderr
    assert run(app, ["download", "toy", "--to", "x", "--mirror", "file:///x"]).exit_code == 1
    with pytest.raises(BadConfig, match="query"):
        list(plan(["toy"], tmp_path, ["https://m.org/?a=b"]))
    listed = run(app, ["list", "downloads"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(DOWNLOADS)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_every_line_of_the_table_can_be_followed(name):
    line = DOWNLOADS[name]
    assert bool(line.files) != bool(line.steps)
    assert bool(line.steps) == bool(line.why)
    assert line.licence
    if line.then.startswith("images of "):
        whose = line.then.removeprefix("images of ").partition(":")[0]
        assert {"karpathy", *re.split(r", | and ", whose)} - {"coco-captions"} <= DOWNLOADS.keys()
    else:
        program, verb, first = line.then.split()[:3]
        assert program == "saccade"
        assert verb in {"prepare", "train", "evaluate"}
        assert verb != "prepare" or first in SOURCES
        assert "DIR" in line.then
    for other in re.findall(r"[a-z0-9]+-(?:\d{4}-\w+|genome-images)", line.then):
        assert other in DOWNLOADS
    for file in line.files:
        assert file.urls
        assert not [url for url in file.urls if why_refused(url)]
        assert bool(file.sha256) == bool(file.sha256_from)
        if file.sha256:
            assert len(file.sha256) == 64
            assert int(file.sha256, 16)
        else:  # nothing to check it by: the line must be one that nobody can write to
            assert all(url.startswith("https://") for url in file.urls)
    for step in line.steps:
        assert "DIR" in step or "http" in step


def test_the_page_lists_every_set():
    text = (Path(__file__).parent.parent / "docs" / "downloads.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert listed == list(DOWNLOADS)


def test_no_two_sets_write_the_same_file():
    names = [file.name for line in DOWNLOADS.values() for file in line.files]
    assert len(names) == len(set(names))


# Archives that attack


def packed(tmp_path, content, name="x.zip"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


OUTSIDE = ["../out", "/out", "a/../../out", "a//b", "C:/out", "a\\..\\out", "a/./b", "a/\x01"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_written_outside_nor_before_all_names_were_seen(tmp_path, name, kind):
    if kind == "zip":
        path = packed(tmp_path, zipped({"good": "1", name: "2"}))
    else:
        path = tmp_path / "x.tar"
        with tarfile.open(path, "w") as archive:
            for member in ("good", name):
                archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    with pytest.raises(BadDownload, match="is not unpacked"):
        unpack(path, tmp_path / "into")
    assert not list(tmp_path.glob("into/*"))
    assert not (tmp_path / "out").exists()


def test_links_devices_and_secrets_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadDownload, match="link"):
        unpack(packed(tmp_path, zipped({link: "/etc/passwd"})), tmp_path / "into")
    content = bytearray(zipped({"a": "1"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadDownload, match="encrypted"):
        unpack(packed(tmp_path, bytes(content)), tmp_path / "into")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "../../etc"
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            archive.addfile(info)
        with pytest.raises(BadDownload, match="link or a device"):
            unpack(tmp_path / "x.tar", tmp_path / "into")


def test_a_bomb_is_refused_by_what_it_would_become(tmp_path):
    bomb = packed(tmp_path, zipped({"a": bytes(2_000_000)}))
    with pytest.raises(BadDownload, match="would become more than"):
        unpack(bomb, tmp_path / "into", Limits(always=1000))
    with pytest.raises(BadDownload, match="too many files"):
        unpack(packed(tmp_path, zipped({"a": "", "b": ""})), tmp_path / "into", Limits(members=1))
    assert not (tmp_path / "into").exists()
    unpack(bomb, tmp_path / "into")


@pytest.mark.parametrize("said", [10, 200_000])
def test_a_member_that_lies_about_its_size_is_refused(tmp_path, said):
    content = bytearray(zipped({"a": bytes(100_000)}))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = said.to_bytes(4, "little")
    with pytest.raises(BadDownload, match="not whole"):
        unpack(packed(tmp_path, bytes(content)), tmp_path / "into")
    assert not list(tmp_path.glob("into/*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(BadDownload, match="twice"):
        unpack(packed(tmp_path, made.getvalue()), tmp_path / "into")
    with pytest.raises(BadDownload, match="a file stands where a folder"):
        unpack(packed(tmp_path, zipped({"a": "1", "a/b": "2"})), tmp_path / "into")


def test_unpacking_again_goes_on_and_never_writes_over_what_is_there(tmp_path):
    path = packed(tmp_path, zipped({"a": "one", "b/c": "two", "__MACOSX/._a": "junk"}))
    assert unpack(path, tmp_path / "into") == ["a", "b"]
    (tmp_path / "into" / "b" / "c").unlink()
    unpack(path, tmp_path / "into")
    assert (tmp_path / "into" / "b" / "c").read_text() == "two"
    (tmp_path / "into" / "a").write_text("mine")
    with pytest.raises(BadDownload, match="is there already"):
        unpack(path, tmp_path / "into")
    assert (tmp_path / "into" / "a").read_text() == "mine"


def test_a_tar_file_is_unpacked_and_a_cut_one_is_told(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("./sub/a")
        info.size = 5000
        archive.addfile(info, io.BytesIO(b"x" * 5000))
    assert unpack(path, tmp_path / "into") == ["sub"]
    assert (tmp_path / "into" / "sub" / "a").read_bytes() == b"x" * 5000
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BadDownload, match="not whole"):
        unpack(path, tmp_path / "other")
    assert not [file for file in tmp_path.glob("other/**/*") if file.is_file()]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 250), value=st.integers(0, 255))
def test_a_damaged_archive_is_one_line_or_unpacks_what_it_says(tmp_path, at, value):
    content = bytearray(zipped({"a": "one" * 20, "b/c": "two" * 20}))
    content[at % len(content)] = value
    into = tmp_path / f"{at}-{value}"
    with suppress(BadDownload):
        unpack(packed(tmp_path, bytes(content)), into)
    outside = {path.name for path in tmp_path.iterdir()} - {
        path.name for path in tmp_path.glob("*-*")
    }
    assert outside <= {"x.zip"}


@given(st.text(max_size=30))
def test_a_safe_name_stays_below_its_folder(name):
    if why_unsafe(name) is None:
        whole = Path("/into") / name
        assert whole.is_relative_to("/into")
        assert whole != Path("/into")
        assert ".." not in whole.parts
        name.encode()
