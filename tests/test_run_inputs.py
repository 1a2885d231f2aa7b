"""A run from a program: any form of image, lists, threads; what answers look like."""

import base64
import io
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import saccade
from saccade.core.errors import BadConfig, BadImage
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features.extract import extract
from saccade.inference import predictor
from saccade.inference.answers import Answer, CaptionWord, GeneratedCaption
from tests.worlds import write_untrained_run

QUESTION = "what color is the circle?"
OTHER = "how many squares are there?"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shapes, and untrained runs: attention and none, answers and captions."""
    root = tmp_path_factory.mktemp("inputs")
    make_shapes(root / "shapes", images={"train": 12, "val": 4, "test": 4}, size=64, seed=1)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    extract(data, "timm:test_resnet", weights="random", size=64, resize="squash")
    recipes = {
        "vqa": "show-ask-attend-answer-small",
        "plain": "ibowimg-small",
        "caption": "show-attend-tell-small",
    }
    for run, recipe in recipes.items():
        write_untrained_run(DataFolder(data), recipe, root / run)
    return root


@pytest.fixture(scope="module")
def runs(made):
    return {name: saccade.load(made / name, "cpu") for name in ("vqa", "plain", "caption")}


@pytest.fixture(scope="module")
def files(made):
    return sorted((made / "shapes" / "images").iterdir())[:7]


def same(found, wanted):
    """Whether two answers or captions are equal, within the tolerance of a batch."""
    assert found.text == wanted.text
    if isinstance(wanted, Answer):
        shares = [[share for _, share in one.top] for one in (found, wanted)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-4)
        maps = [(found.attention, wanted.attention)]
    else:
        assert found.log_probability == pytest.approx(wanted.log_probability, abs=1e-3)
        pairs = zip(found.words, wanted.words, strict=True)
        maps = [(one.attention, other.attention) for one, other in pairs]
    for one, other in maps:
        assert (one is None) == (other is None)
        assert one is None or np.allclose(one, other, atol=1e-4)
    assert np.allclose(found.boxes, wanted.boxes)


def forms(file):
    """An image of a file in every form that a program may have."""
    data = file.read_bytes()
    pillow = Image.open(io.BytesIO(data))
    yield from (str(file), file, data, io.BytesIO(data), pillow, np.array(pillow.convert("RGB")))


def test_every_form_of_an_image_gives_equal_numbers(runs, files):
    wanted = runs["vqa"].ask(files[0], QUESTION)
    caption = runs["caption"].caption(files[0])
    encoded = runs["vqa"].encode(files[0])
    for form in forms(files[0]):
        assert torch.equal(runs["vqa"].encode(form).regions, encoded.regions)
        assert runs["vqa"].ask(form, QUESTION).top == wanted.top
        assert runs["caption"].caption(form).text == caption.text
        assert runs["caption"].caption(form).log_probability == caption.log_probability
        assert len(runs["caption"].sample(form, 2)) == 2


@pytest.mark.parametrize("size", [1, 3, 32])
def test_lists_give_what_single_calls_give(runs, files, size):
    vqa, writer, options = runs["vqa"], runs["caption"], {"batch_size": size, "progress": False}
    single = [vqa.ask(file, QUESTION) for file in files]
    for found, wanted in zip(vqa.ask([*files], QUESTION, **options), single, strict=True):
        same(found, wanted)
    questions = [QUESTION, OTHER] * 4
    for found, text in zip(vqa.ask(files[0], questions[:3], **options), questions, strict=False):
        same(found, vqa.ask(files[0], text))
        assert found.question == text
    for n, found in enumerate(vqa.ask(files, questions[: len(files)], **options)):
        same(found, vqa.ask(files[n], questions[n]))
    for n, found in enumerate(writer.caption(files, **options)):
        same(found, writer.caption(files[n]))
    for n, found in enumerate(vqa.encode(files, **options)):
        assert torch.allclose(found.regions, vqa.encode(files[n]).regions, atol=1e-3)
    assert writer.sample(files[:2], 3, seed=5) == [
        writer.sample(one, 3, seed=5) for one in files[:2]
    ]


def test_an_image_of_a_list_is_encoded_once_however_often_it_is_asked(runs, files, monkeypatch):
    encoded = []
    encode = predictor.Run.encode_pixels

    def count(self, pixels, sizes):
        encoded.append(len(pixels))
        return encode(self, pixels, sizes)

    monkeypatch.setattr(predictor.Run, "encode_pixels", count)
    images = [str(files[0]), files[1], files[0], files[1]]
    found = runs["vqa"].ask(images, [QUESTION, QUESTION, OTHER, OTHER], batch_size=5)
    assert encoded == [2]
    assert [one.question for one in found] == [QUESTION, QUESTION, OTHER, OTHER]
    runs["vqa"].ask(files[0], [QUESTION] * 3)
    assert encoded == [2, 1]
    ready = runs["vqa"].encode(files[0])
    assert len(runs["vqa"].ask([ready, files[1]], QUESTION)) == 2
    assert encoded == [2, 1, 1, 1]
    assert isinstance(runs["vqa"].ask(ready, QUESTION), Answer), "an encoded image is no list"


WRONG = {
    "no images": ([], QUESTION),
    "no questions": (0, []),
    "other numbers": ([0, 0, 0], [QUESTION, OTHER]),
    "no text": (0, None),
    "a number": (0, 3),
    "bytes": (0, b"what?"),
    "a number among texts": (0, [QUESTION, 3]),
    "no words": ([0, 0], [QUESTION, "?"]),
    "unknown words": ([0, 0], [QUESTION, "wherefore art thou"]),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_lists_and_questions_are_refused_before_an_image_is_read(runs, kind, monkeypatch):
    monkeypatch.setattr(predictor, "open_image", lambda *_: pytest.fail("it was read"))
    images, questions = WRONG[kind]
    with pytest.raises(BadConfig) as caught:
        runs["vqa"].ask(images, questions)
    assert "\n" not in str(caught.value)


def test_options_of_lists_are_checked(runs, files):
    for wrong in ({"batch_size": 0}, {"top": 0}):
        with pytest.raises(BadConfig) as caught:
            runs["vqa"].ask(files, QUESTION, **wrong)
        assert caught.value.location in wrong
    with pytest.raises(BadConfig):
        runs["caption"].caption([])
    with pytest.raises(BadImage) as caught:
        runs["vqa"].ask([files[0], Path("absent.png")], QUESTION)
    assert caught.value.location == "absent.png"
    with pytest.raises(BadImage):
        runs["vqa"].ask([np.zeros((4, 4))], QUESTION)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vqa", "attention"),
        ("caption", "attention"),
        ("plain", "occlusion"),
    ],
)
def test_explain_gives_maps_and_says_what_they_show(runs, files, name, kind):
    run = runs[name]
    asked = () if run.task == "caption" else (QUESTION,)
    found = run.explain(files[0], *asked)
    assert found.map_kind == kind
    as_json = json.loads(json.dumps(found.to_dict(maps=True)))
    assert as_json["maps"]
    for one in as_json["maps"]:
        assert one["kind"] == kind
        assert sum(one["weights"]) == pytest.approx(1, abs=1e-4)
        assert len(one["weights"]) == len(as_json["boxes"]) == 4
    if run.task == "caption":
        assert [one["label"] for one in as_json["maps"]] == as_json["words"] == found.text.split()
        same(found, run.caption(files[0]))
    else:
        assert as_json["top"][0] == {"answer": found.text, "probability": found.top[0][1]}
        assert found.top == run.ask(files[0], QUESTION).top
    listed = run.explain(files[:2], *asked, batch_size=1, progress=False)
    same(listed[0], found)
    assert all(one.image is not None for one in listed)
    encoded = run.encode(files[0])
    same(run.explain(encoded, *asked), found)


def test_explain_hides_regions_for_a_captioner_without_attention(runs, files, monkeypatch):
    replay = predictor.replay
    nothing = lambda *given: ([None] * len(given[1]), replay(*given)[1])  # noqa: E731
    monkeypatch.setattr(predictor, "replay", nothing)
    assert all(word.attention is None for word in runs["caption"].caption(files[0]).words)
    found = runs["caption"].explain(files[0])
    assert found.map_kind == "occlusion"
    assert found.words
    assert all(word.attention.shape == (4,) for word in found.words)


def test_explain_refuses_what_it_cannot_explain(runs, files):
    with pytest.raises(BadConfig):
        runs["vqa"].explain(files[0])
    with pytest.raises(BadConfig):
        runs["caption"].explain(files[0], QUESTION)
    with pytest.raises(BadConfig):
        runs["caption"].explain([])


def test_threads_share_one_backbone(made, files, monkeypatch):
    run, built = saccade.load(made / "vqa", "cpu"), []
    build = predictor.build_backbone

    def count(*given):
        built.append(threading.get_ident())
        threading.Event().wait(0.2)  # the others come meanwhile
        return build(*given)

    monkeypatch.setattr(predictor, "build_backbone", count)
    begin, found = threading.Barrier(8), [None] * 8

    def ask(n):
        begin.wait()
        found[n] = run.ask(files[n % 4].read_bytes(), QUESTION)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    for n, answer in enumerate(found):
        same(answer, run.ask(files[n % 4], QUESTION))


def test_short_forms_are_one_line(runs, files):
    answer, caption = runs["vqa"].explain(files[0], QUESTION), runs["caption"].caption(files[0])
    for shown in (answer, caption, runs["vqa"], runs["vqa"].encode(files[0])):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 200
    assert answer.text in repr(answer)
    assert "vqa" in repr(runs["vqa"])
    assert "array" not in repr([answer, caption])


def drawn(html):
    """The images in a part of a page, as arrays."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_a_notebook_shows_image_maps_and_answers(runs, files):
    answer, caption = runs["vqa"].ask(files[0], QUESTION), runs["caption"].caption(files[0])
    html = answer._repr_html_()
    assert len(drawn(html)) == 1 + len(answer.attention)
    assert all(one.shape == (64, 64, 3) for one in drawn(html))
    for text, share in answer.top:
        assert f">{text}<" in html
        assert f"{share:.3f}" in html
    assert QUESTION in html
    html = caption._repr_html_()
    assert len(drawn(html)) == 1 + len(caption.words)
    for png in (answer._repr_png_(), caption._repr_png_()):
        assert Image.open(io.BytesIO(png)).width <= 720
        assert len(png) < 200_000


def test_answers_of_a_list_keep_no_image_and_are_shown_without(runs, files):
    many = runs["vqa"].ask(files, QUESTION, progress=False)
    assert all(one.image is None for one in many)
    assert drawn(many[0]._repr_html_()) == []
    assert many[0].text in many[0]._repr_html_()
    assert many[0]._repr_png_() is None
    assert runs["caption"].caption(files[:2])[0].image is None


def test_the_small_copy_is_small_and_the_right_way_round(runs):
    photo = np.zeros((900, 1200, 3), np.uint8)
    photo[:450] = 255
    small = runs["vqa"].ask(photo, QUESTION).image
    assert small.shape == (240, 320, 3)
    assert small[10].min() == 255
    assert small[-10].max() == 0


def test_texts_from_outside_are_escaped():
    bad = '<script>alert(1)</script>" onerror="x'
    boxes = np.array([[0, 0, 1, 1]], np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    one = np.ones(1, np.float32)
    answer = Answer(bad, [(bad, 0.5)], one[None], boxes, (bad,), [(bad, 0.5)], "attention", bad)
    caption = GeneratedCaption(bad, [CaptionWord(bad, one, 0.5)], -1.0, boxes, image=image)
    for html in (answer._replace(image=image)._repr_html_(), caption._repr_html_()):
        assert "<script" not in html
        assert 'onerror="' not in html
        assert "&lt;script&gt;" in html


@pytest.mark.parametrize("texts", [[], [("", 0.0)], [("ä" * 300, 1.0)]])
def test_odd_answers_are_shown(texts):
    boxes, image = np.array([[0, 0, 1, 1]], np.float32), np.zeros((3, 300, 3), np.uint8)
    answer = Answer("", texts, None, boxes, image=image)
    assert "<div" in answer._repr_html_()
    assert answer._repr_png_()[:4] == b"\x89PNG"
    assert len(repr(answer)) < 200
    caption = GeneratedCaption("", [], 0.0, boxes, image=image)
    assert "<div" in caption._repr_html_()
    assert caption._repr_png_()[:4] == b"\x89PNG"
    assert json.dumps(caption.to_dict(maps=True))
