"""A run saved for the hub, read again from a folder or the hub, and sent to it."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard, constants
from PIL import Image

import saccade
from saccade.cli.app import app
from saccade.core.errors import BadBundle, BadConfig, BadDownload, BadRun, SaccadeWarning
from saccade.data.folder import DataFolder
from saccade.datasets.shapes import make_shapes
from saccade.interop.pretrained import without_paths
from saccade.run_folder import open_run
from tests.hub_server import COMMIT, TOKEN, serve_models
from tests.worlds import write_untrained_run

SCORES = {
    "val": {
        "split": "val", "task": "vqa", "accuracy": 61.25, "questions": 16,
        "interval": {"accuracy": [50.0, 70.0]}, "visual_gain": {"accuracy": 12.5},
        "baselines": {"question_only": {"accuracy": 40.0}, "shuffled_images": {}},
        "verdict": {"text": "The model hardly uses the image.", "image_use": "hardly"},
        "selected_on_this_split": True, "macro_f1": {"not_measured": "one label"},
        "wordnet": "/home/somebody/my words/wordnet.zip",
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An image, and runs of both tasks with their data."""
    root = tmp_path_factory.mktemp("hub")
    make_shapes(root / "shapes", images={"train": 8, "val": 4}, size=64)
    saccade.prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    saccade.extract(root / "data", "timm:test_resnet", weights="random", size=64)
    folder = DataFolder(root / "data")
    write_untrained_run(folder, "show-ask-attend-answer-small", root / "vqa")
    write_untrained_run(folder, "show-attend-tell-small", root / "caption")
    (root / "vqa/scores.json").write_text(json.dumps(SCORES))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "image.png")
    return root


@pytest.fixture(scope="module")
def model(world):
    """The run that answers questions, saved."""
    return saccade.load(world / "vqa", "cpu").save_pretrained(world / "model", licence="cc-by-4.0")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of our own, with nothing in it."""
    with serve_models() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        files = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.mark.parametrize("task", ["vqa", "caption"])
def test_a_saved_run_gives_equal_answers_anywhere(world, tmp_path, task):
    shutil.copytree(world / task, tmp_path / "run")
    run = saccade.load(tmp_path / "run", "cpu")
    run.save_pretrained(tmp_path / "model")
    before, image = run.encode(world / "image.png"), world / "image.png"
    expected = run.ask(image, "is it red?") if task == "vqa" else run.caption(image)
    shutil.rmtree(tmp_path / "run")
    again = saccade.from_pretrained(tmp_path / "model", device="cpu")
    found = again.ask(image, "is it red?") if task == "vqa" else again.caption(image)
    assert (before.regions == again.encode(image).regions).all()
    assert found.text == expected.text
    if task == "vqa":
        assert found.top == expected.top
        assert (found.attention == expected.attention).all()
    else:
        assert found.log_probability == expected.log_probability
    assert (tmp_path / "model/backbone.safetensors").exists(), "it answers without a network"


def test_no_path_of_this_machine_and_no_record_is_given_away(world, model):
    names = {path.name for path in model.iterdir()}
    assert not names & {"last", "predictions.json", "scored-val.parquet", "checkpoints"}
    for path in model.glob("*[!s]"):
        if path.suffix != ".safetensors":
            assert not re.search(r"/home/|" + str(world), path.read_text()), path.name
    saved, run = open_run(model), open_run(world / "vqa")
    assert saved.header.data is None
    assert saved.words == run.words
    assert saved.header.recipe == run.header.recipe
    assert json.loads((model / "scores.json").read_text())["val"]["wordnet"] == "wordnet.zip"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/my data", "my data"),
        ("extract '/home/me/my data' --weights /opt/w.pth", "extract 'my data' --weights w.pth"),
        ("file:/home/me/gpt2", "file:gpt2"),
        ("C:\\Users\\me\\data", "data"),
        ("yes/no, left/right, 3/4", "yes/no, left/right, 3/4"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("/", "/"),
    ],
)  # fmt: skip
def test_paths_in_texts(text, left):
    assert without_paths({"a": [text]}) == {"a": [left]}


class TestCard:
    def test_its_head_is_what_the_hub_asks_for(self, model):
        data = ModelCard((model / "README.md").read_text()).data
        assert (data.library_name, data.license) == ("saccade", "cc-by-4.0")
        assert data.pipeline_tag == "visual-question-answering"
        (result,) = data.eval_results
        assert (result.metric_type, result.metric_value) == ("accuracy", 61.2)
        assert (result.dataset_name, result.dataset_split) == ("vqa-v2+karpathy", "val")

    def test_its_text_says_what_a_reader_must_know(self, model):
        text = (model / "README.md").read_text()
        assert "| accuracy | 61.2% | 50.0% to 70.0% | +12.5 points |" in text
        assert "| question only | 40.0% |" in text
        assert "| shuffled images | not measured |" in text
        for words in (
            "hardly uses the image", "chosen on this split", "from_pretrained", "must not be used",
            "Source: `vqa-v2+karpathy`", "not shown that the image is used", "`cc-by-4.0`",
        ):  # fmt: skip
            assert words in text
        code = re.search(r"```python\n(.*?)```", text, re.S)[1]
        compile(code, "card", "exec")

    def test_what_is_not_known_is_not_made_up(self, world, tmp_path):
        shutil.copytree(world / "caption", tmp_path / "run")
        about = json.loads((tmp_path / "run/run.json").read_text())
        about["data"] = str(tmp_path / "gone")
        (tmp_path / "run/run.json").write_text(json.dumps(about))
        saccade.push_to_hub(tmp_path / "run", "me/it", dry_run=True)
        run = saccade.load(tmp_path / "run", "cpu")
        text = (run.save_pretrained(tmp_path / "model") / "README.md").read_text()
        for words in ("never scored", "not at hand", "do not assume"):
            assert words in text
        assert ModelCard(text).data.eval_results is None


class TestFolder:
    @pytest.fixture
    def copy(self, model, tmp_path):
        return shutil.copytree(model, tmp_path / "copy")

    def test_an_earlier_save_is_replaced_and_nothing_else(self, world, copy, tmp_path, monkeypatch):
        run = saccade.load(world / "vqa", "cpu")
        (copy / "words.json").unlink()
        assert saccade.from_pretrained(run.save_pretrained(copy), device="cpu").task == "vqa"
        (copy / "mine.txt").touch()
        monkeypatch.chdir(tmp_path)
        for place in (copy, world / "vqa", copy / "mine.txt", Path()):
            with pytest.raises(BadConfig) as caught:
                run.save_pretrained(place)
            assert caught.value.location == str(place)
        with pytest.raises(BadConfig) as caught:
            run.save_pretrained(tmp_path / "new", licence="Free for all!")
        assert caught.value.location == "licence"
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("name", ["words.json", "model.safetensors", "scores.json"])
    @pytest.mark.parametrize("fault", ["gone", "other", "longer"])
    def test_a_file_that_is_another(self, copy, name, fault):
        content = (copy / name).read_bytes()
        (copy / name).unlink()  # it may be a link
        if fault != "gone":
            other = content[:-1] + bytes([content[-1] ^ 1])
            (copy / name).write_bytes(other if fault == "other" else content + b" ")
        with pytest.raises(BadBundle) as caught:
            saccade.from_pretrained(copy)
        assert caught.value.location == str(copy / name)

    @pytest.mark.parametrize(
        "change",
        [
            {"saccade_format": 2},
            {"library_name": "transformers"},
            {"files": {}},
            {"files": []},
            *({"more": name} for name in ("../../evil.json", "/etc/passwd", "model.pkl", "a\0")),
            {"task": "poetry"},
            {"huge": 10**12},
        ],
    )
    def test_a_config_that_is_not_to_be_trusted(self, copy, change):
        about = json.loads((copy / "config.json").read_text())
        if name := change.pop("more", None):
            about["files"][name] = about["files"]["run.json"]
        if size := change.pop("huge", None):
            about["files"]["words.json"]["bytes"] = size
        (copy / "config.json").write_text(json.dumps(about | change))
        with pytest.raises(BadBundle) as caught:
            saccade.from_pretrained(copy)
        assert caught.value.location == str(copy / "config.json")

    def test_what_is_no_saved_run(self, world, copy, tmp_path):
        for content in (b"", b"[", b"\x80\x04.", b"{}", b"[" * 100_000, b" " * 2_000_000):
            (copy / "config.json").write_bytes(content)
            with pytest.raises(BadBundle):
                saccade.from_pretrained(copy)
        with pytest.raises(BadBundle) as caught:
            saccade.from_pretrained(world / "vqa")
        assert "saccade.load" in caught.value.hint
        with pytest.raises(BadConfig):
            saccade.from_pretrained(copy, revision="v1")
        for name in ("../there", "./x", "a/b/c", "a b/c", "a--b/c", "x/..", "https://a/b"):
            with pytest.raises(BadConfig):
                saccade.from_pretrained(name)


class TestFetch:
    def test_a_model_is_fetched_once_and_then_taken_from_the_cache(
        self, hub, world, model, monkeypatch
    ):
        hub.add("ours/it", model)
        run = saccade.from_pretrained("ours/it", device="cpu")
        first = saccade.load(world / "vqa", "cpu").ask(world / "image.png", "is it red?")
        assert run.ask(world / "image.png", "is it red?").top == first.top
        assert "README.md" not in hub.fetched()
        hub.asked.clear()
        saccade.from_pretrained("ours/it", revision=COMMIT, device="cpu")
        assert hub.fetched() == []
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.warns(SaccadeWarning, match="does not answer"):
            saccade.from_pretrained("ours/it", device="cpu")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        saccade.from_pretrained("ours/it", device="cpu")

    def test_a_cut_download_goes_on_where_it_stopped(self, hub, model, monkeypatch):
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
        hub.add("ours/it", model)
        hub.cuts = [None, None, None, 350_000]  # config, run, words, then the weights
        saccade.from_pretrained("ours/it", device="cpu")
        spans = [span for _, path, span in hub.asked if path.endswith("model.safetensors") and span]
        assert spans == ["bytes=300000-"]

    def test_files_that_came_before_a_failure_are_not_fetched_again(self, hub, model):
        files = hub.add("ours/it", model)
        lost = files.pop("backbone.safetensors")
        with pytest.raises(BadDownload):
            saccade.from_pretrained("ours/it")
        files["backbone.safetensors"] = lost
        hub.asked.clear()
        saccade.from_pretrained("ours/it", device="cpu")
        assert "model.safetensors" not in hub.fetched()
        assert "backbone.safetensors" in hub.fetched()

    @pytest.mark.parametrize("fault", ["no network", "no repository", "no revision", "private"])
    def test_what_cannot_be_had_is_one_sentence(self, hub, model, monkeypatch, fault):
        hub.add("ours/it", model, private=True)
        given = {}
        if fault == "no network":
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        if fault == "no revision":
            given["revision"] = "v9"
        if fault == "private":
            monkeypatch.setenv("HF_TOKEN", "hf_other")
        with pytest.raises(BadDownload) as caught:
            saccade.from_pretrained("ours/no" if fault == "no repository" else "ours/it", **given)
        assert caught.value.location.startswith("ours/")
        assert "\n" not in str(caught.value)

    def test_a_hostile_repository_is_refused_unread(self, hub, model):
        files = hub.add("ours/it", model)
        files["pytorch_model.bin"] = pickle.dumps(print)
        saccade.from_pretrained("ours/it", device="cpu")
        assert "pytorch_model.bin" not in hub.fetched()
        about = json.loads(files["config.json"])
        hub.asked.clear()
        for name, size in (("pytorch_model.bin", 9), ("../evil.json", 9), ("log.jsonl", 10**11)):
            listed = {**about["files"], name: {"bytes": size, "sha256": "0" * 64}}
            files = hub.add("ours/other", model)
            files["config.json"] = json.dumps({**about, "files": listed, "name": name}).encode()
            with pytest.raises(BadBundle):
                saccade.from_pretrained("ours/other")
        assert set(hub.fetched()) == {"config.json"}

    def test_files_larger_than_was_said_are_not_fetched(self, hub, model):
        hub.add("ours/it", model)
        with pytest.raises(BadBundle) as caught:
            saccade.from_pretrained("ours/it", max_bytes=1000)
        assert "max_bytes" in caught.value.hint
        hub.sizes["words.json"] = 10**11
        with pytest.raises(BadBundle):
            saccade.from_pretrained("ours/it")
        hub.sizes["config.json"] = 10**11
        with pytest.raises(BadBundle):
            saccade.from_pretrained("ours/it", revision="main")
        assert "words.json" not in hub.fetched()

    def test_a_damaged_file_does_not_stay_in_the_cache(self, hub, model):
        files = hub.add("ours/it", model)
        whole = files["words.json"]
        files["words.json"] = whole[:-1] + b" "
        with pytest.raises(BadDownload):
            saccade.from_pretrained("ours/it")
        files["words.json"] = whole
        assert saccade.from_pretrained("ours/it", device="cpu").task == "vqa"

    def test_weights_that_are_a_pickle_are_not_executed(self, hub, world, tmp_path, model):
        folder = shutil.copytree(model, tmp_path / "bad")
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").write_bytes(pickle.dumps(_Trap(tmp_path / "trapped")))
        from saccade.transfer.hub_folder import write_config

        write_config(folder, "vqa", "x")
        hub.add("ours/it", folder)
        with pytest.raises(BadRun):
            saccade.from_pretrained("ours/it", device="cpu")
        assert not (tmp_path / "trapped").exists()


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's own
class TestPush:
    def test_a_run_goes_and_comes_back(self, hub, world):
        told = saccade.push_to_hub(world / "vqa", "ours/new", licence="mit")
        assert hub.repositories["ours/new"]["private"]
        assert told["commit"].endswith(f"/ours/new/commit/{COMMIT}")
        assert set(told["files"]) == set(hub.repositories["ours/new"]["files"])
        first = saccade.load(world / "vqa", "cpu").ask(world / "image.png", "is it red?")
        again = saccade.from_pretrained("ours/new", device="cpu")
        assert again.ask(world / "image.png", "is it red?").top == first.top
        assert not list(world.glob(".to-hub*"))

    def test_a_saved_folder_goes_as_it_is(self, hub, model, tmp_path):
        folder = shutil.copytree(model, tmp_path / "mine")
        card = (folder / "README.md").read_text().replace("Nobody has read it", "I have read it")
        (folder / "README.md").write_text(card)
        (folder / "secret.txt").write_text("mine")
        saccade.push_to_hub(folder, "ours/mine", public=True)
        files = hub.repositories["ours/mine"]["files"]
        assert files["README.md"].decode() == card
        assert "secret.txt" not in files
        assert not hub.repositories["ours/mine"]["private"]
        with pytest.raises(BadConfig):
            saccade.push_to_hub(folder, "ours/mine", licence="mit")

    def test_a_dry_run_asks_nobody(self, hub, world, capsys, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        assert app(["push-to-hub", str(world / "vqa"), "ours/new", "--dry-run"],
                   standalone_mode=False) is None  # fmt: skip
        told = capsys.readouterr().out
        assert "model.safetensors" in told
        assert "nothing was sent" in told
        assert hub.asked == []

    def test_a_public_repository_is_not_filled_unasked(self, hub, world, model):
        files = hub.add("ours/open", model)
        files.clear()
        with pytest.raises(BadConfig) as caught:
            saccade.push_to_hub(world / "vqa", "ours/open")
        assert caught.value.location == "ours/open"
        assert files == {}
        assert not any("upload" in path for _, path, _ in hub.asked)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ("no token", BadConfig),
            ("offline", BadConfig),
            ("wrong token", BadDownload),
            ("no network", BadDownload),
        ],
    )
    def test_what_cannot_be_sent_is_one_sentence(self, hub, world, monkeypatch, fault, error):
        if fault == "no token":
            monkeypatch.delenv("HF_TOKEN")
        if fault == "offline":
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        if fault == "wrong token":
            monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        if fault == "no network":
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(error) as caught:
            saccade.push_to_hub(world / "vqa", "ours/new")
        assert "\n" not in str(caught.value)
        assert ("HF_TOKEN" in caught.value.hint) == ("token" in fault)
        assert hub.repositories == {}

    def test_wrong_names_and_runs(self, world):
        for name in ("new", "a/b/c", "../x"):
            with pytest.raises(BadConfig):
                saccade.push_to_hub(world / "vqa", name)
        with pytest.raises(BadRun):
            saccade.push_to_hub(world / "none", "ours/new")
