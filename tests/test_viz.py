"""Heat maps, overlays, panels and curves: what is drawn is where it should be."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import get_data_path
from PIL import Image

from saccade.core.files import write_bytes
from saccade.text.segmentation import has_no_blanks
from saccade.viz import fonts as lettering
from saccade.viz.attention import heat_map, overlay, panel
from saccade.viz.fonts import Fonts, fold, font, shorten
from saccade.viz.plots import Line, colour, curves, lines, mark, save_png


def grid(rows, columns):
    row, column = np.divmod(np.arange(rows * columns), columns)
    left, top = column / columns, row / rows
    return np.stack([left, top, left + 1 / columns, top + 1 / rows], axis=1)


def one_hot(place, count):
    return np.eye(count, dtype=np.float32)[place]


@pytest.mark.parametrize("smooth", [True, False])
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    height=st.integers(9, 70),
    width=st.integers(9, 70),
    data=st.data(),
)
def test_the_hottest_pixel_lies_in_the_cell_that_was_looked_at(
    smooth, rows, columns, height, width, data
):
    place = data.draw(st.integers(0, rows * columns - 1))
    heat = heat_map(
        one_hot(place, rows * columns), grid(rows, columns), height, width, smooth=smooth
    )
    assert heat.shape == (height, width)
    assert heat.dtype == np.float32
    assert heat.max() <= 1 + 1e-6
    assert heat.min() >= 0
    if rows * columns > 6:
        assert heat.max() == pytest.approx(1)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs((y + 0.5) / height * rows - (place // columns + 0.5)) <= 0.5 + rows / height
    assert abs((x + 0.5) / width * columns - (place % columns + 0.5)) <= 0.5 + columns / width


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (14, 14), (3, 5)])
def test_even_attention_gives_a_faint_even_map_up_to_the_very_corners(smooth, shape):
    cells = shape[0] * shape[1]
    heat = heat_map(np.full(cells, 1 / cells), grid(*shape), 60, 45, smooth=smooth)
    np.testing.assert_allclose(heat, 1 / 3, atol=0.01)


def test_sharp_cells_keep_their_weights_and_their_edges():
    heat = heat_map([1, 2, 3, 4], grid(2, 2), 4, 6, smooth=False)
    expected = np.kron(np.array([[1, 2], [3, 4]]) / (3 * 2.5), np.ones((2, 3)))
    np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_a_heap_of_boxes_is_no_brighter_than_one_and_gaps_stay_cold():
    left, right = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)
    heat = heat_map([0.2, 0.2, 0.2, 0.4], [left, left, left, right], 10, 10, smooth=False)
    np.testing.assert_allclose(heat[:, :4], 0.2 / 0.75, atol=1e-6)
    np.testing.assert_allclose(heat[:, 6:], 0.4 / 0.75, atol=1e-6)
    assert not heat[:, 4:6].any()


def test_a_crop_leaves_the_rest_of_the_image_cold():
    crop = grid(4, 4) * 0.5 + 0.25  # the middle of the image
    heat = heat_map(np.ones(16), crop, 80, 80)
    np.testing.assert_allclose(heat[25:55, 25:55], 1 / 3, atol=1e-4)
    assert heat[:5].max() == 0


def test_no_attention_at_all_is_a_cold_map():
    assert not heat_map(np.zeros(4), grid(2, 2), 8, 8).any()


@pytest.mark.parametrize(
    ("weights", "boxes"),
    [
        ([1, 2], grid(2, 2)),
        ([[1, 2, 3, 4]], grid(2, 2)),
        ([np.nan, 1, 1, 1], grid(2, 2)),
        ([-1, 1, 1, 1], grid(2, 2)),
    ],
)
def test_weights_that_cannot_be_drawn_are_refused(weights, boxes):
    with pytest.raises(ValueError, match="weights"):
        heat_map(weights, boxes, 8, 8)


def test_overlay_leaves_hot_places_brighter_and_the_given_image_alone():
    image = np.full((20, 20, 3), 120, dtype=np.uint8)
    heat = np.zeros((20, 20), dtype=np.float32)
    heat[:, 10:] = 1
    drawn = overlay(image, heat)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert drawn[:, :10].mean() < 120 < drawn[:, 10:].mean()
    assert (image == 120).all()


def test_overlay_refuses_a_map_of_another_size():
    with pytest.raises(ValueError, match="do not belong together"):
        overlay(np.zeros((20, 20, 3), dtype=np.uint8), np.zeros((10, 10), dtype=np.float32))


@pytest.mark.parametrize(("maps", "rows"), [(0, 1), (2, 1), (4, 1), (5, 2), (11, 3)])
def test_a_panel_has_at_most_five_columns_and_as_many_rows_as_it_needs(maps, rows):
    image = np.full((30, 40, 3), (200, 30, 30), dtype=np.uint8)
    page = panel(image, [np.zeros((30, 40), dtype=np.float32)] * maps, ["word"] * maps, "said")
    columns = min(maps + 1, 5)
    wide = 360 if columns <= 3 else 240
    assert page.shape[1] == 40 + columns * (wide + 12) - 12
    tall = wide * 3 // 4 + 30 + 12
    assert rows * tall < page.shape[0] < rows * tall + 110
    red = (page == (200, 30, 30)).all(axis=2)
    assert red.sum() == wide * wide * 3 // 4  # the plain image stands there once


def test_a_panel_folds_a_long_heading_and_names_what_is_missing():
    image = np.zeros((30, 40, 3), dtype=np.uint8)
    short, long = panel(image, [], [], "one"), panel(image, [], [], "one " * 40)
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]
    with pytest.raises(ValueError, match="1 maps and 2 titles"):
        panel(image, [np.zeros((30, 40), dtype=np.float32)], ["a", "b"], "said")


@settings(max_examples=40)
@given(st.text(max_size=40), st.integers(40, 300))
def test_folded_lines_fit_and_lose_no_short_word(text, width):
    face = font(16)
    lines = fold(text, face, width)
    assert all(face.getlength(line) <= width for line in lines)
    if not any("…" in line for line in lines):
        assert "".join("".join(lines).split()) == "".join(text.split())
    if not has_no_blanks(text):
        kept = " ".join(lines).split()
        assert all(a == b or b.endswith("…") for a, b in zip(text.split(), kept, strict=True))


def test_text_without_blanks_is_folded_between_characters_before_its_marks():
    face = font(16)
    width = int(face.getlength("猫猫猫猫")) + 1
    assert fold("猫狗 猫狗。猫 dog猫", face, width) == ["猫狗 猫", "狗。猫", "dog", "猫"]
    assert fold("猫狗猫狗猫", face, width) == ["猫狗猫狗", "猫"]


def test_a_word_that_is_too_wide_ends_in_dots():
    face = font(16)
    assert shorten("glimpse", face, 200) == "glimpse"
    cut = shorten("glimpse" * 20, face, 200)
    assert cut.startswith("glimpse")
    assert cut.endswith("…")
    assert face.getlength(cut) <= 200


def font_file(path, letters, weight=400):
    """A font in which every one of some letters is a box of its own height."""
    names = {letter: f"u{ord(letter):x}" for letter in letters}
    glyphs = {}
    for number, name in enumerate([".notdef", *names.values()]):
        pen = TTGlyphPen(None)
        corners = ((0, 0), (0, 300 + 50 * number), (weight, 300 + 50 * number), (weight, 0))
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    made = FontBuilder(1000)
    made.setupGlyphOrder(list(glyphs))
    made.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    made.setupGlyf(glyphs)
    made.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    made.setupHorizontalHeader(ascent=1000, descent=0)
    made.setupNameTable({"familyName": "x", "styleName": "y"})
    made.setupOS2()
    made.setupPost()
    made.save(path)
    return str(path)


def fonts_of(others, said):
    folder = Path(get_data_path()) / "fonts" / "ttf"
    own = [folder / name for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")]
    return Fonts(*own, lambda: others, said.append), own


def test_the_font_that_is_always_there_is_left_for_one_with_more_of_the_letters(tmp_path):
    said = []
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    latin = font_file(tmp_path / "aaa.ttf", "ab")
    some = font_file(tmp_path / "abc.ttf", "猫狗")
    whole = font_file(tmp_path / "Noto Sans CJK-Regular.ttf", "猫狗在a?")
    bold = font_file(tmp_path / "NotoSansCJK-Bold.ttf", "猫狗在a?")
    every = font_file(tmp_path / "AdobeBlank.ttf", "猫狗在a?龍")
    others = [str(tmp_path / "broken.ttf"), latin, every, some, bold, whole]
    fonts, own = fonts_of(others, said)
    assert fonts.file_for("Où? Что? 80%", False) == own[0]
    assert fonts.file_for("Où? Что? 80%", True) == own[1]
    assert fonts.file_for("猫a?", False) == Path(whole)
    assert fonts.file_for("猫a?", True) == Path(bold)
    assert fonts_of([latin, some], said)[0].file_for("猫", True) == Path(some)
    assert fonts_of([latin, some], said)[0].file_for("猫 Où, comment?", True) == own[1]
    assert said == []


def test_letters_that_no_font_has_are_told_once_with_the_cure(tmp_path):
    said, asked = [], []
    some = font_file(tmp_path / "some.ttf", "猫")
    fonts, own = fonts_of([some], said)
    fonts._others = lambda: asked.append(1) or [some]
    assert fonts.file_for("猫狗", False) == Path(some)
    assert fonts.file_for("狗。", False) == own[0]
    assert fonts.file_for("狗!", False) == own[0]
    assert fonts.file_for("狗!", False) == own[0]
    assert len(said) == 1
    assert said[0].startswith("note: no font here has 狗: empty boxes are drawn.")
    assert said[0].endswith("apt install fonts-noto-cjk")
    assert len(asked) == 2, "letters that are nowhere are not looked for again"
    marks, told = font_file(tmp_path / "LastResort.ttf", "\u5618"), []
    fonts, own = fonts_of([marks], told)
    assert fonts.file_for("\u5618", False) == own[0], "it has a mark for every letter"
    assert len(told) == 1


def test_questions_answers_and_words_of_any_script_are_drawn(tmp_path, monkeypatch, capsys):
    """Two characters that are empty boxes in DejaVu are two drawings in a font that has them."""
    image, heat = np.zeros((30, 40, 3), dtype=np.uint8), np.zeros((30, 40), dtype=np.float32)

    def pages():
        for one in "猫狗":
            yield panel(image, [heat], ["x"], f"{one}?\na")
            yield panel(image, [heat], ["x"], f"a?\n{one}")
            yield panel(image, [heat], [one], "a?\nb")

    def draw(others):
        monkeypatch.setattr(lettering, "fonts", lambda: made)
        made, _ = fonts_of(others, said)
        first, second, third, *others = pages()
        return [(a == b).all() for a, b in zip((first, second, third), others, strict=True)]

    said = []
    assert draw([]) == [True, True, True]
    assert len(said) == 1
    assert draw([font_file(tmp_path / "some.ttf", "猫狗ab?")]) == [False, False, False]
    assert len(said) == 1


def log_row(epoch, loss, score):
    return {"epoch": epoch, "loss": loss, "metric": "bleu_4", "score": score}


@pytest.mark.parametrize("count", [1, 2, 30])
def test_curves_are_a_png_that_can_be_read(count):
    rows = [log_row(n + 1, 1 / (n + 1), n / 100) for n in range(count)]
    drawn = curves(rows)
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.size == (1080, 408)
        assert np.asarray(image.convert("L")).std() > 5
    assert curves(rows) == drawn


def test_curves_of_no_epoch_are_refused():
    with pytest.raises(ValueError, match="no epoch"):
        curves([])


def test_an_image_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target, pixels = tmp_path / "a.png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    save_png(target, pixels)
    with Image.open(target) as image:
        assert (np.asarray(image) == pixels).all()

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_bytes(target, b"half")
    with Image.open(target) as image:
        assert (np.asarray(image) == pixels).all()


def test_lines_of_equal_runs_are_equal_files_and_need_no_font():
    drawn = [Line(0, [1, 2, 3], [3.0, 2.0, 1.0]), Line(9, [1], [2.0])]
    content = lines(drawn, "epoch", whole=True)
    assert content == lines(drawn, "epoch", whole=True)
    assert content.startswith(b"<?xml")
    assert b"<text" not in content
    assert colour(0).encode() in content
    assert lines(drawn, "confidence", diagonal=True) != content
    with pytest.raises(ValueError, match="nothing to draw"):
        lines([Line(0, [], [])], "epoch")


def test_runs_are_told_apart_without_colours():
    assert len({mark(place) for place in range(8)}) == 8
    assert len({(colour(place), mark(place)) for place in range(24)}) == 24
