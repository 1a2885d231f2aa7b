"""Heat maps, overlays, panels and curves: what is drawn is where it should be."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from saccade.cli.app import app
from saccade.core.errors import SaccadeWarning
from saccade.core.files import write_bytes
from saccade.text.segmentation import has_no_blanks
from saccade.viz import fonts
from saccade.viz.attention import heat_map, overlay, panel
from saccade.viz.fonts import Font, families
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
def test_the_hottest_pixel_lies_in_the_cell_with_the_attention(
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
def test_wrapped_lines_fit_and_lose_no_short_word(text, width):
    font = Font(16)
    lines = font.wrap(text, width)
    assert all(font.width(line) <= width for line in lines)
    if not any("…" in line for line in lines):
        assert "".join("".join(lines).split()) == "".join(text.split())
    if not has_no_blanks(text):
        kept = " ".join(lines).split()
        assert all(a == b or b.endswith("…") for a, b in zip(text.split(), kept, strict=True))


def test_text_without_blanks_is_wrapped_between_characters_before_its_marks():
    font = Font(16)
    width = int(font.width("猫猫猫猫")) + 1
    assert font.wrap("猫狗 猫狗。猫 doggy猫", width) == ["猫狗 猫", "狗。猫", "doggy", "猫"]
    assert font.wrap("猫狗猫狗猫", width) == ["猫狗猫狗", "猫"]


def test_a_word_that_is_too_wide_ends_in_an_ellipsis():
    font = Font(16)
    assert font.shorten("glimpse", 200) == "glimpse"
    cut = font.shorten("glimpse" * 20, 200)
    assert cut.startswith("glimpse")
    assert cut.endswith("…")
    assert font.width(cut) <= 200


def font_file(path, letters, family, weight=400):
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
    made.setupNameTable({"familyName": family, "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(path)
    return str(path)


@pytest.fixture
def install(monkeypatch):
    """A machine with Matplotlib's own fonts and those that a test installs."""
    own = [entry for entry in fonts.fontManager.ttflist if "mpl-data" in entry.fname]

    def forget():
        for cached in (fonts._families, fonts._installed, fonts.fontManager._findfont_cached):
            cached.cache_clear()

    def install_only(*files):
        forget()
        monkeypatch.setattr(fonts.fontManager, "ttflist", list(own))
        monkeypatch.setattr(fonts, "findSystemFonts", lambda: list(files))

    install_only()
    yield install_only
    monkeypatch.undo()
    forget()


def test_fallback_fonts_are_those_that_have_the_missing_letters(tmp_path, install):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    latin = font_file(tmp_path / "a.ttf", "ab", "A Latin")
    cat = font_file(tmp_path / "b.ttf", "猫", "B Cats")
    dog = font_file(tmp_path / "c.ttf", "狗a", "C Dogs")
    every = font_file(tmp_path / "d.ttf", "猫狗龍", "Adobe Blank")
    noto = font_file(tmp_path / "z.ttf", "猫狗", "Noto Sans CJK JP")
    install(str(tmp_path / "broken.ttf"), latin, cat, dog, every)
    assert families("Où? Что? 80%") == (["DejaVu Sans"], frozenset())
    assert families("猫a?") == (["DejaVu Sans", "B Cats"], frozenset())
    assert families("猫狗") == (["DejaVu Sans", "B Cats", "C Dogs"], frozenset())
    assert families("龍猫") == (["DejaVu Sans", "B Cats"], {"龍"}), "Adobe Blank is no font"
    install(latin, cat, dog, noto)
    assert families("猫狗") == (["DejaVu Sans", "Noto Sans CJK JP"], frozenset())


def pages():
    """A character in every place of a panel: pairs of pages for two characters."""
    image, heat = np.zeros((30, 40, 3), dtype=np.uint8), np.zeros((30, 40), dtype=np.float32)
    for title, caption in (("x", "{}?\na"), ("x", "a?\n{}"), ("{}", "a?\nb")):
        yield [panel(image, [heat], [title.format(one)], caption.format(one)) for one in "猫狗"]


def test_questions_answers_and_words_of_any_script_are_drawn(tmp_path, install):
    """Two characters that are one box in DejaVu are two drawings where a font has them."""
    with pytest.warns(SaccadeWarning, match=r"no font here has [猫狗]: .*fonts-noto-cjk"):
        assert [(a == b).all() for a, b in pages()] == [True, True, True]
    install(font_file(tmp_path / "some.ttf", "猫狗", "Some"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [(a == b).all() for a, b in pages()] == [False, False, False]


def test_a_page_tells_all_its_missing_letters_in_one_warning(install):
    with pytest.warns(SaccadeWarning) as told:
        panel(np.zeros((30, 40, 3), dtype=np.uint8), [], [], "猫?\n狗, $5 or $6")
    assert [("猫" in str(one.message), "狗" in str(one.message)) for one in told] == [(True, True)]


@pytest.mark.filterwarnings("default")
def test_the_command_line_prints_the_warning_as_a_note(monkeypatch, tmp_path):
    def explain(*_, **__):
        warnings.warn("no font here has 猫", SaccadeWarning, stacklevel=1)
        return Path("x.png")

    monkeypatch.setattr("saccade.api.explain", explain)
    (tmp_path / "image.png").touch()
    done = CliRunner().invoke(app, ["explain", "run", str(tmp_path / "image.png")])
    assert done.exit_code == 0, done.output
    assert done.stderr == "note: no font here has 猫\n"
    assert done.stdout == "Drawn: x.png\n"


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


def test_curves_have_the_training_score_and_mark_the_epoch_that_was_kept(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, stream, **_: drawn.append(figure), raising=True
    )
    more = {"train_metric": "top-1", "interval": [20.0, 60.0]}
    rows = [
        {**log_row(n, 1 / n, score), "train_score": 10.0 * n, "smoothed_score": smooth, **more}
        for n, score, smooth in ((1, 50, 50), (2, 40, 45), (3, 48, 51))
    ]
    curves(rows)
    loss, training, validation = drawn[0].axes
    assert loss.lines[0].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert training.get_title(loc="left") == "top-1, training"
    assert training.lines[0].get_ydata().tolist() == [10, 20, 30]
    assert [line.get_ydata().tolist() for line in validation.lines] == [[50, 40, 48], [50, 45, 51]]
    assert validation.collections[-1].get_offsets().tolist() == [[3, 48]]
    assert "best: 3, 48" in validation.get_xlabel()


def test_curves_have_macro_scores_of_both_splits(monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, stream, **_: drawn.append(figure))
    names = [f"macro_{name}" for name in ("precision", "recall", "f1")]
    both = {
        "scores": dict(zip(names, (0.4, 0.5, 0.6), strict=True)),
        "train_scores": dict(zip(names, (0.7, 0.8, 0.9), strict=True)),
    }
    curves([{**log_row(n, 1 / n, 50), **both} for n in (1, 2)])
    macro = drawn[0].axes[-1]
    found = {line.get_label(): line.get_ydata().tolist() for line in macro.lines}
    expected = {"precision": 40, "recall": 50, "F1": 60}
    expected |= {"precision, training": 70, "recall, training": 80, "F1, training": 90}
    assert found == {label: pytest.approx([value] * 2) for label, value in expected.items()}


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
