"""What a user's mistakes with a checkpoint look like, and how an imported run is judged."""

import json
import pickle

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import BadCheckpoint, BadConfig, BadRun, SaccadeError
from saccade.evaluation.evaluate import evaluate
from saccade.features.extract import extract
from saccade.interop.import_checkpoint import import_checkpoint
from saccade.run_folder import open_run
from tests import import_samples as samples
from tests.import_samples import EYE
from tests.worlds import make_world


def refusal(kind, path, **settings):
    """The one line that a user reads; nothing may be left behind."""
    out = path.parent / "run"
    with pytest.raises(SaccadeError) as caught:
        import_checkpoint(kind, path, out, **{**EYE, **settings})
    assert not out.exists()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BadCheckpoint | BadConfig)
    return str(caught.value)


MADE = {
    "pytorch-vqa": samples.pytorch_vqa,
    "hengyuan-hu": samples.hengyuan_hu,
    "sgrvinod": lambda folder: (samples.whole_modules(folder, samples.attend_tell(folder)), None),
    "self-critical": lambda folder: samples.self_critical(folder, "updown"),
}


@pytest.mark.parametrize("given", MADE)
@pytest.mark.parametrize("said", MADE)
def test_another_kind_is_recognised(tmp_path, given, said):
    path, _ = MADE[given](tmp_path)
    if given == said:
        import_checkpoint(said, path, tmp_path / "run", **EYE)
        assert open_run(tmp_path / "run").header.recipe_name == said
    else:
        assert f"not those of {said}, but of {given}" in refusal(said, path)


def test_there_is_no_other_kind(tmp_path):
    assert "Did you mean 'pytorch-vqa'" in refusal("pytorchvqa", tmp_path / "x")


def edited(state, **changes):
    """A state dict with some tensors left out (None), added or changed."""
    return {name: tensor for name, tensor in (state | changes).items() if tensor is not None}


@pytest.mark.parametrize("name", ["updown", "adaatt", "newfc", "show_tell", "transformer"])
def test_what_is_missing_and_unknown_is_named(tmp_path, name):
    rows = "model.generator.proj.weight" if name == "transformer" else "logit.weight"

    def edit(state):
        return edited(state, **{rows: None, "strange.weight": torch.ones(1)})

    path, _ = samples.self_critical(tmp_path, name, edit=edit)
    told = refusal("self-critical", path)
    assert f"1 missing ({rows}); 1 unknown (strange.weight)" in told
    assert str(path) in told


def test_shapes_that_contradict_each_other_are_named_with_both(tmp_path):
    changes = {"core.lang_lstm.bias_ih": torch.ones(5), "ctx2att.bias": torch.ones(3)}
    path, _ = samples.self_critical(tmp_path, "updown", edit=lambda state: edited(state, **changes))
    told = refusal("self-critical", path)
    assert "2 tensors do not fit" in told
    assert "core.lang_lstm.bias_ih (5,) where (48,) fits" in told
    assert "ctx2att.bias (3,) where (7,) fits" in told


def test_gates_of_another_network_do_not_fit(tmp_path):
    """`adaattmo` has the names of `adaatt` and five gates."""
    wide = {f"core.lstm.{part}.bias": torch.ones(40) for part in ("w2h", "v2h", "h2h.0")}
    path, _ = samples.self_critical(tmp_path, "adaatt", edit=lambda state: edited(state, **wide))
    assert "core.lstm.w2h.bias (40,) where (32,) fits" in refusal("self-critical", path)


def test_what_is_no_matrix_is_said(tmp_path):
    flat = {"logit.weight": torch.ones(7), "embed.0.weight": torch.ones(7)}
    path, _ = samples.self_critical(tmp_path, "updown", edit=lambda state: edited(state, **flat))
    assert "embed.0.weight has the shape (7,), which is no matrix" in refusal("self-critical", path)


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "note": "hello"}, path)
    assert "holds no tensors by name, but: epoch, note" in refusal("pytorch-vqa", path)
    path.write_text("hello")
    assert "not a whole file" in refusal("pytorch-vqa", path)


def test_words_that_are_not_there_are_asked_for(tmp_path):
    path, _ = samples.hengyuan_hu(tmp_path)
    (tmp_path / "trainval_ans2label.pkl").rename(tmp_path / "elsewhere.pkl")
    told = refusal("hengyuan-hu", path)
    assert "no trainval_label2ans.pkl or trainval_ans2label.pkl" in told
    assert "--answers FILE" in told
    (tmp_path / "dictionary.pkl").rename(tmp_path / "words.pkl")
    assert "--words FILE" in refusal("hengyuan-hu", path)
    files = {"words": tmp_path / "words.pkl", "answers": tmp_path / "elsewhere.pkl"}
    import_checkpoint("hengyuan-hu", path, tmp_path / "run", **EYE, **files)


def test_of_two_word_maps_one_must_be_chosen(tmp_path):
    path, _ = MADE["sgrvinod"](tmp_path)
    (tmp_path / "WORDMAP_other.json").write_text("{}")
    assert "2 files WORDMAP_*.json" in refusal("sgrvinod", path)
    assert "lacks <end>, <pad>" in refusal("sgrvinod", path, words=tmp_path / "WORDMAP_other.json")


def test_words_of_another_size_are_refused(tmp_path):
    path, _ = samples.self_critical(tmp_path, "newfc")
    samples.self_critical(tmp_path / "..", "updown", words=("a", "b"))
    told = refusal("self-critical", path, words=tmp_path / ".." / "infos_updown.pkl")
    assert "4 words and the end, but the checkpoint was trained with 7" in told


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ({"a": 1, "b": 3}, "3 ids are not 0 to 2"),
        ({"a": "one"}, "no map from words to ids"),
        ([1, 2], "no words of questions and answers"),
    ],
)
def test_words_with_holes_are_refused(tmp_path, words, what):
    changes = {"vocab": {"question": words, "answer": {}} if isinstance(words, dict) else words}
    path, _ = samples.pytorch_vqa(tmp_path, **changes)
    assert what in refusal("pytorch-vqa", path)


def test_malicious_words_are_refused_too(tmp_path):
    path, _ = samples.self_critical(tmp_path, "newfc")
    (tmp_path / "infos_newfc-best.pkl").write_bytes(pickle.dumps({"vocab": print}))
    assert "asks for builtins.print" in refusal("self-critical", path)


def test_sizes_that_no_file_holds_are_asked_for_and_can_be_said(tmp_path):
    path, _ = samples.self_critical(tmp_path, "transformer", num_att_heads=3)
    told = refusal("self-critical", path)
    assert "heads must divide width" in told
    assert "--set model.FIELD=VALUE" in told
    import_checkpoint("self-critical", path, tmp_path / "run", **EYE, changes=("model.heads=2",))
    assert open_run(tmp_path / "run").header.recipe.model.heads == 2


def test_a_field_that_there_is_not(tmp_path):
    path, _ = samples.self_critical(tmp_path, "newfc")
    assert "model.hats" in refusal("self-critical", path, changes=("model.hats=2",))


def test_how_many_cells_a_flattened_image_has(tmp_path):
    oracle = samples.course_rnn(tmp_path, cells=49)
    path = samples.whole_modules(tmp_path, oracle, name="DecoderWithRNN")
    flat = ("model.init_pool=flatten",)
    assert "--set model.pool_size=SIDE" in refusal(
        "sgrvinod", path, changes=(*flat, "model.pool_size=5")
    )
    out = tmp_path / "run"
    import_checkpoint("sgrvinod", path, out, **EYE, changes=(*flat, "model.pool_size=7"))
    assert open_run(out).header.sizes.region_dim == samples.DIM


def test_another_network_must_have_regions_as_wide(tmp_path):
    path, _ = samples.pytorch_vqa(tmp_path)
    told = refusal("pytorch-vqa", path, backbone="timm:test_vit", size=None)
    assert "its regions have 96 numbers, those of timm:test_vit have 64" in told
    assert "--store FOLDER" in told


def test_a_run_is_not_written_over(tmp_path):
    path, _ = samples.pytorch_vqa(tmp_path)
    import_checkpoint("pytorch-vqa", path, tmp_path / "run", **EYE)
    with pytest.raises(BadRun, match="a run already"):
        import_checkpoint("pytorch-vqa", path, tmp_path / "run", **EYE)


@pytest.mark.parametrize("kind", ["pytorch-vqa", "self-critical"])
def test_an_imported_run_is_evaluated_on_any_folder_with_its_features(tmp_path, kind):
    world = make_world(tmp_path / "data")
    for image in world.images():
        Image.new("RGB", (70, 64), (image.id % 250, 90, 9)).save(world.path / image.file)
    store = extract(world.path, "timm:test_resnet", weights="random", size=64, name="own")
    path, _ = MADE[kind](tmp_path)
    made = import_checkpoint(kind, path, tmp_path / "run", **EYE)
    how = "--size 64 --resize shorter_side --resize-to 67 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5"
    how += " --interpolation bilinear --weights random"
    assert made.extract == f"saccade extract DATA --backbone {EYE['backbone']} {how}"
    with pytest.raises(BadRun, match="no data folder"):
        evaluate(tmp_path / "run")
    scores = evaluate(tmp_path / "run", data=world.path, features="own", split="val")
    assert not scores["same_data_as_in_training"]
    assert (tmp_path / "run" / "predictions.json").exists()
    # The same with a store's own header, whatever network it was made with.
    import_checkpoint(kind, path, tmp_path / "like", store=store)
    assert evaluate(tmp_path / "like", data=world.path, features="own", split="val")["features"]


def test_the_command_says_what_came_and_what_is_next(tmp_path):
    path, _ = samples.pytorch_vqa(tmp_path)
    words = ["import-checkpoint", "pytorch-vqa", str(path), "--out", str(tmp_path / "run")]
    words += ["--backbone", "timm:test_resnet", "--weights", "random", "--size", "64"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "show_ask_attend_answer" in told.output
    assert "note: images: it was trained on the features of Caffe's ResNet-152" in told.output
    assert f"Next: saccade ask {tmp_path / 'run'} IMAGE" in told.output
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert again.stderr.startswith("error: ")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["data"] is None
