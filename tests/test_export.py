"""Exported runs: graphs equal to their models, words as data, the example, refusals."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import saccade
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import sha256_of
from saccade.data.folder import DataFolder
from saccade.datasets.shapes import make_shapes
from saccade.interop.export_words import STEPS
from saccade.models.catalogue import MODELS
from saccade.text.tokenizers import TOKENIZERS, as_question
from tests.worlds import write_untrained_run

EXAMPLE = Path(__file__).parent.parent / "examples/onnx/answer.py"
QUESTIONS = (
    *("what is it", "  Is it RED? ", "How many are 1,000 - 2?", "isnt the man's hat red, or blue"),
    *(
        'he said "no" (twice)...',
        "can't you see--or hear?",
        "3.5 or 4. ?",
        "a/b-c;d",
        "?",
        "well ,no",
    ),
    *("cannot gonna more'n d'ye", "two  blanks", "e.g. this", "don't; shouldnt've"),
)


def example():
    """The example as a module; it needs onnxruntime."""
    pytest.importorskip("onnxruntime")
    spec = importlib.util.spec_from_file_location("answer", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A captioner's run that was never trained, its folder of graphs, and an image."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    root = tmp_path_factory.mktemp("export")
    make_shapes(root / "shapes", images={"train": 12, "val": 2, "test": 2}, size=48)
    saccade.prepare("karpathy", root / "shapes", root / "data")
    saccade.extract(
        root / "data", "timm:test_resnet", weights="random", size=48, resize="squash", device="cpu"
    )
    run = write_untrained_run(DataFolder(root / "data"), "show-attend-tell-small", root / "run")
    result = saccade.export(run, root / "exported")
    return run, result, sorted((root / "shapes/images").iterdir())[0]


def test_the_folder_says_what_is_in_it(exported):
    run, result, _ = exported
    about = json.loads((result.folder / "export.json").read_text())
    assert {*about["graphs"]} == {"encoder", "init", "step"} == {*result.differences}
    assert max(result.differences.values()) <= about["tolerance"] == 1e-4
    for name, digest in about["sha256"].items():
        assert sha256_of(result.folder / name) == digest
    words = json.loads((run / "words.json").read_text())["vocabulary"]["words"]
    assert about["vocabulary"]["words"] == words
    pixels = about["graphs"]["encoder"]["inputs"][0]
    assert pixels["type"] == "tensor(uint8)"
    assert isinstance(pixels["shape"][0], str), "the number of images may be any"
    assert pixels["shape"][1:] == [3, 48, 48]


def test_the_example_writes_the_captions_of_the_run_without_torch_and_saccade(exported):
    run, result, image = exported
    wanted = saccade.load(run, device="cpu").caption(image, beam_size=1).text
    code = f"""
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in ("torch", "saccade", "torchvision"), name
sys.meta_path.insert(0, Refuse())
sys.argv = ["answer.py", {str(result.folder)!r}, {str(image)!r}]
runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.rstrip("\n") == wanted


@pytest.mark.parametrize("name", STEPS)
def test_steps_cut_as_the_tokenizer_does(name):
    steps = STEPS[name]
    again = json.loads(json.dumps(steps))
    cut = example().cut
    for text in QUESTIONS:
        assert cut(as_question(text), again) == TOKENIZERS[name](as_question(text)), text


@pytest.mark.parametrize("case", ["san, lstm", "att2in"])
def test_a_graph_gives_the_models_numbers_at_sizes_that_it_was_not_made_from(case, tmp_path):
    """The two smallest kinds; `python -m proofs onnx` has all systems."""
    pytest.importorskip("onnxscript")
    from tests import export_cases

    for name, found in export_cases.parity(case, tmp_path):
        assert max(found.values()) <= 1e-4, name


def test_every_system_stands_in_the_parity_table():
    from tests.export_cases import CASES

    kinds = {changes.get("kind", kind) for kind, _, changes in CASES.values()}
    assert kinds == {*MODELS}


def test_numbers_of_another_model_are_seen(tmp_path):
    """A weight that changes after the graph was written is a difference."""
    pytest.importorskip("onnxscript")
    from saccade.interop.export_onnx import differences, write_graph
    from tests.export_cases import graphs_of

    graph = graphs_of("ibowimg, question only")["model"]
    write_graph(graph, tmp_path / "a.onnx")
    with torch.no_grad():
        next(graph.module.parameters())[5:] += 0.01
    assert max(differences(graph, tmp_path / "a.onnx").values()) > 1e-4


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BadRun):
        saccade.export(tmp_path / "none", tmp_path / "out")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(BadConfig) as refused:
        saccade.export(tmp_path / "run", tmp_path / "run")
    assert refused.value.location == str(tmp_path / "run")
    with pytest.raises(BadConfig, match="torchscript"):
        saccade.export(tmp_path / "run", tmp_path / "out", to="torchscript")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(BadConfig) as refused:
        saccade.export(tmp_path / "run", tmp_path / "out")
    assert re.search(r"saccade\[onnx\]", refused.value.hint)
    assert not (tmp_path / "out").exists()
