"""The notebooks run from their first cell to their last, and are kept without outputs."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat", reason="nbformat and nbclient run the notebooks")
nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebooks")
pytest.importorskip("ipykernel", reason="ipykernel runs the notebooks")


def test_there_are_notebooks_without_outputs():
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_answers(path, tmp_path, monkeypatch):
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), before))))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a notebook makes is cleared with the test
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, resources=resources).execute()
    shown = [out for cell in book.cells for out in cell.get("outputs", ())]
    drawn = [out.data for out in shown if "image/png" in out.get("data", {})]
    assert len(drawn) >= 2
    assert all("<figure" in one["text/html"] for one in drawn)
    assert all(len(cell.get("outputs", ())) < 40 for cell in book.cells), "no flood"
    assert all(len(str(one)) < 400_000 for one in drawn)
