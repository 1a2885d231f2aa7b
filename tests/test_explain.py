"""Overlays of where a model looked: for any shape of image, and only where there is attention."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from saccade.features.store import grid_boxes
from saccade.inference.answers import Answer, CaptionWord, GeneratedCaption
from saccade.inference.explain import draw_answer, draw_caption

BOXES = grid_boxes(2, 2)


def run(grid=(2, 2)):
    header = SimpleNamespace(
        recipe=SimpleNamespace(model=SimpleNamespace(kind="some_model")),
        store=SimpleNamespace(preprocessing=SimpleNamespace(window="auto")),
    )
    return SimpleNamespace(opened=SimpleNamespace(header=header, path="runs/x"), grid=grid)


def image(tmp_path, width=160, height=120):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(path)
    return path


def answer(attention):
    return Answer("red", [("red", 0.9), ("blue", 0.095), ("x", 0.005)], attention, BOXES)


def test_each_glimpse_glows_where_the_model_looked(tmp_path):
    looks = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    page = draw_answer(run(), image(tmp_path), "What colour?", answer(looks)).astype(int)
    assert page.ndim == 3
    other = draw_answer(run(), image(tmp_path), "What colour?", answer(looks[::-1].copy()))
    third = page.shape[1] // 3
    # With the glimpses exchanged only the two overlays change, not the plain image before them.
    assert (page[:, : third - 20] == other[:, : third - 20]).all()
    assert (page[:, third + 20 :] != other[:, third + 20 :]).any()


@pytest.mark.parametrize(("width", "height"), [(900, 30), (30, 900), (1, 1), (2000, 1500)])
def test_any_shape_of_image_can_be_drawn_on(tmp_path, width, height):
    looks = np.full((2, 4), 0.25, np.float32)
    page = draw_answer(run(), image(tmp_path, width, height), "Where?", answer(looks))
    assert page.dtype == np.uint8
    assert max(page.shape[:2]) < 2000


def test_a_caption_has_one_map_per_word_and_says_what_the_sentinel_kept(tmp_path):
    look = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    words = [CaptionWord("a", look, 0.9), CaptionWord("cat", look, None)]
    few = draw_caption(run(), image(tmp_path), GeneratedCaption("a cat", words, -1.0, BOXES))
    many = draw_caption(
        run(grid=None), image(tmp_path), GeneratedCaption("a cat " * 9, words * 9, -1.0, BOXES)
    )
    assert many.shape[0] > few.shape[0], "18 words take more rows than two"


def test_maps_made_by_hiding_say_so(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "saccade.inference.display.panel", lambda *given: written.append(given) or given[0]
    )
    look = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    draw_answer(run(), image(tmp_path), "What?", answer(look[None])._replace(map_kind="occlusion"))
    said = GeneratedCaption("a", [CaptionWord("a", look, None)], -1.0, BOXES, "occlusion")
    draw_caption(run(), image(tmp_path), said)
    assert written[0][2] == ["cost of hiding a region"]
    assert written[1][3] == "a\ncost of hiding a region"
