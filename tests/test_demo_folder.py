"""The demonstration deletes what it made, to the letter, and nothing else."""

import json

import pytest

from saccade.core.errors import BadData
from saccade.demo.run import LIST, DemoFolder


def files(root):
    return {f.relative_to(root).as_posix() for f in root.rglob("*") if not f.is_dir()} - {LIST}


def filled(root):
    folder = DemoFolder(root)
    folder.clear()
    with folder.making("data") as data:
        (data / "deep").mkdir(parents=True)
        (data / "deep" / "a.txt").write_text("a")
    with folder.making("page.html") as page:
        page.write_text("page")
    return root


def test_a_new_start_deletes_exactly_what_was_made(tmp_path):
    root = filled(tmp_path / "demo")
    (root / "data" / "mine.txt").write_text("mine")
    (root / "notes").mkdir()
    (root / "notes" / "b.txt").write_text("mine")
    DemoFolder(root).clear()
    assert files(root) == {"data/mine.txt", "notes/b.txt"}
    assert not (root / "data" / "deep").exists(), "a folder that it made and emptied goes too"


def test_after_a_crash_the_half_made_part_goes_and_older_files_in_it_stay(tmp_path):
    root = filled(tmp_path / "demo")
    (root / "runs").mkdir()
    (root / "runs" / "mine.txt").write_text("mine")

    def half_made():
        with DemoFolder(root).making("runs") as runs:
            (runs / "half.bin").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_made()
    DemoFolder(root).clear()
    assert files(root) == {"runs/mine.txt"}


def test_other_folders_and_files_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadData, match="other things"):
        DemoFolder(tmp_path)
    with pytest.raises(BadData, match="is a file"):
        DemoFolder(tmp_path / "thesis.txt")
    (tmp_path / "empty").mkdir()
    DemoFolder(tmp_path / "empty").clear()


@pytest.mark.parametrize("name", ["../thesis.txt", "/etc/hosts", "a/../../thesis.txt"])
def test_a_list_that_names_files_elsewhere_is_refused(tmp_path, name):
    root = filled(tmp_path / "demo")
    (tmp_path / "thesis.txt").write_text("years of work")
    about = json.loads((root / LIST).read_text())
    (root / LIST).write_text(json.dumps({**about, "files": [name]}))
    with pytest.raises(BadData, match="outside"):
        DemoFolder(root)
    (root / LIST).write_text("[]")
    with pytest.raises(BadData, match="no list"):
        DemoFolder(root)


def test_a_link_leads_nowhere_out(tmp_path):
    root = filled(tmp_path / "demo")
    elsewhere = tmp_path / "elsewhere"
    (root / "data").rename(elsewhere)
    (root / "data").symlink_to(elsewhere)
    DemoFolder(root).clear()
    assert (elsewhere / "deep" / "a.txt").read_text() == "a"
