"""Images as a program has them: path, bytes, file, Pillow, array. Equal pixels, or one sentence."""

import io
import re
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.core.errors import BadImage
from saccade.data import image_files
from saccade.features.images import open_image, read_image


def scene(mode="RGB", width=24, height=16):
    cells = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(cells, "RGBA")
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def file_of(folder, image, ending="png", **options):
    path = folder / f"image.{ending}"
    image.save(path, **options)
    return path


def every_form(path):
    """The image of a file in each form, and a name of the form."""
    data = path.read_bytes()
    with path.open("rb") as file:
        yield from [("text", str(path)), ("path", path), ("bytes", data), ("file", file)]
        yield from [("again", file), ("memory", io.BytesIO(data)), ("array", bytearray(data))]
        yield "view", memoryview(data)
    yield "Pillow, not yet read", Image.open(io.BytesIO(data))
    read = Image.open(path)
    read.load()
    yield "Pillow", read


MODES = ["RGB", "RGBA", "L", "P", "1", "LA", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_an_image_is_the_same_however_it_is_given(tmp_path, mode):
    if mode == "I;16":
        deep = np.random.default_rng(0).integers(0, 65536, (16, 24)).astype(np.uint16)
        path = file_of(tmp_path, Image.fromarray(deep))
    else:
        path = file_of(tmp_path, scene("RGBA").convert(mode) if mode == "LA" else scene(mode))
    wanted = read_image(path)
    for form, given in every_form(path):
        assert torch.equal(open_image(given), wanted), form
    pixels = wanted.permute(1, 2, 0).numpy()
    assert torch.equal(open_image(pixels), wanted)
    assert torch.equal(open_image(np.asfortranarray(pixels)[::-1]), wanted.flip(1))
    if mode in ("L", "1"):
        assert torch.equal(open_image(pixels[..., 0]), wanted)


def test_a_photo_is_the_same_however_it_is_given_and_the_right_way_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = file_of(tmp_path, scene(width=160, height=96), "jpg", exif=exif, quality=80)
    wanted = read_image(path)
    assert wanted.shape == (3, 160, 96)
    for form, given in every_form(path):
        assert torch.equal(open_image(given), wanted), form


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX", "RGBa", "I;16B"])
def test_modes_of_pillow_that_no_file_has_are_read(mode):
    image = Image.new(mode, (20, 10))
    assert open_image(image).shape == (3, 10, 20)
    assert image.size == (20, 10)


def test_values_of_more_than_8_bits_go_through_the_window(tmp_path):
    deep = np.linspace(0, 4095, 16 * 24).reshape(16, 24).astype(np.uint16)
    path = file_of(tmp_path, Image.fromarray(deep))
    wanted = read_image(path, "0,4095")
    assert torch.equal(open_image(Image.fromarray(deep), "0,4095"), wanted)
    assert torch.equal(open_image(path.read_bytes(), "0,4095"), wanted)
    floats = Image.fromarray(deep.astype(np.float32))
    assert torch.equal(open_image(floats, "0,4095"), wanted)
    with pytest.raises(BadImage):
        open_image(floats)  # of no known range


def test_the_frame_that_pillow_shows_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = tmp_path / "two.tiff"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with Image.open(path) as opened:
        opened.seek(1)
        assert open_image(opened)[:, 0, 0].tolist() == [0, 0, 255]
    assert open_image(path)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_member_of_an_archive_and_a_pipe_are_files(tmp_path):
    path = file_of(tmp_path, scene())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "x.png")

    class Pipe:
        def __init__(self):
            self.left = path.read_bytes()

        def read(self, _size):
            piece, self.left = self.left[:100], self.left[100:]
            return piece

    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("x.png") as member:
        assert torch.equal(open_image(member), read_image(path))
    assert torch.equal(open_image(Pipe()), read_image(path))


def closed(file):
    file.close()
    return file


UINT8 = np.zeros((8, 9, 3), np.uint8)
REFUSED = {
    "nothing": lambda _: None,
    "number": lambda _: 3,
    "list": lambda _: [UINT8],
    "tensor": lambda _: torch.zeros(3, 8, 8, dtype=torch.uint8),
    "float array": lambda _: np.zeros((8, 8, 3), np.float32),
    "bool array": lambda _: np.zeros((8, 8), bool),
    "int64 array": lambda _: np.zeros((8, 8, 3), np.int64),
    "16-bit array": lambda _: np.zeros((8, 8), np.uint16),
    "array of objects": lambda _: np.array([[None]]),
    "channels first": lambda _: np.zeros((3, 8, 9), np.uint8),
    "four channels": lambda _: np.zeros((8, 9, 4), np.uint8),
    "one channel": lambda _: np.zeros((8, 9, 1), np.uint8),
    "two channels": lambda _: np.zeros((8, 9, 2), np.uint8),
    "batch": lambda _: UINT8[None],
    "line": lambda _: np.zeros(9, np.uint8),
    "number of numpy": lambda _: np.array(3, np.uint8),
    "empty array": lambda _: np.zeros((0, 9, 3), np.uint8),
    "no width": lambda _: np.zeros((0, 0), np.uint8),
    "thin array": lambda _: np.zeros((1, 101, 3), np.uint8),
    "empty bytes": lambda _: b"",
    "other bytes": lambda _: b"image.png",
    "empty text": lambda _: "",
    "base64": lambda _: "iVBORw0KGgo" * 1000,
    "address": lambda _: "https://example.org/a.png",
    "data address": lambda _: "data:image/png;base64,iVBORw0KGgo=",
    "text with a zero": lambda _: "a\0.png",
    "folder": lambda folder: folder,
    "closed file": lambda folder: closed((folder / "image.png").open("rb")),
    "file as text": lambda folder: (folder / "image.png").open(encoding="latin-1"),
    "text in memory": lambda _: io.StringIO("image"),
    "file for writing": lambda folder: (folder / "new").open("wb"),
    "closed Pillow": lambda folder: closed(Image.open(folder / "image.png")),
    "closed new Pillow": lambda _: closed(Image.new("RGB", (8, 8))),
    "Pillow without pixels": lambda _: Image.new("RGB", (0, 0)),
    "Pillow of a mode without colours": lambda _: Image.new("La", (8, 8)),
    "Pillow of a cut file": lambda folder: Image.open(
        io.BytesIO((folder / "cut.png").read_bytes())
    ),
    "Pillow of a text file": lambda folder: folder / "words.png",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_image_is_refused_in_one_sentence(tmp_path, kind):
    data = file_of(tmp_path, scene()).read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "words.png").write_text("words")
    given = REFUSED[kind](tmp_path)
    with pytest.raises(BadImage) as caught:
        open_image(given)
    if hasattr(given, "close"):
        given.close()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.hint
    assert "damaged" not in caught.value.message or "cut" in kind


def test_hints_say_how_an_array_becomes_an_image():
    floats = np.random.default_rng(0).random((8, 9, 3)).astype(np.float32)
    with pytest.raises(BadImage) as caught:
        open_image(floats)
    fix = re.search(r"\(array.*\)", caught.value.hint)[0]
    mended = eval(fix, {"array": floats, "np": np})
    assert open_image(mended).shape == (3, 8, 9)
    with pytest.raises(BadImage) as caught:
        open_image(np.zeros((3, 8, 9), np.uint8))
    assert "array.transpose(1, 2, 0)" in caught.value.hint


def test_limits_hold_before_pixels_are_decoded(tmp_path, monkeypatch):
    path = file_of(tmp_path, scene())
    monkeypatch.setattr(image_files, "MAX_PIXELS", 100)
    monkeypatch.setattr(image_files.check_limits, "__defaults__", (100,))
    monkeypatch.setattr(read_image, "__kwdefaults__", {"max_pixels": 100})

    def refuse(*_):
        raise AssertionError("decoded")

    opened = Image.open(io.BytesIO(path.read_bytes()))
    monkeypatch.setattr(opened, "load", refuse)
    for given in (path, opened, np.zeros((11, 10, 3), np.uint8)):
        with pytest.raises(BadImage) as caught:
            open_image(given)
        assert "pixels are more than" in caught.value.message


def test_a_huge_file_object_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("saccade.features.images.MAX_BYTES", 5 * 2**20)

    class Endless:
        count = 0

        def read(self, size):
            self.count += 1
            assert self.count < 10
            return bytes(size)

    with pytest.raises(BadImage):
        open_image(Endless())
    with pytest.raises(BadImage):
        open_image(bytes(6 * 2**20))


def test_a_file_object_stays_open_and_an_array_is_copied(tmp_path):
    path = file_of(tmp_path, scene())
    with path.open("rb") as file:
        open_image(file)
        assert not file.closed
    array = np.zeros((8, 9, 3), np.uint8)
    read = open_image(array)
    array[:] = 9
    assert read.max() == 0
    array.flags.writeable = False
    assert open_image(array).max() == 9
