"""Images of more than 8 bits a channel: their window, from `prepare` to a run's new image."""

import io
import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.core.errors import BadConfig, BadImage, SaccadeWarning
from saccade.data.checks import check
from saccade.data.folder import DataFolder
from saccade.data.image_files import set_window
from saccade.data.options import as_window
from saccade.data.records import Caption, Collection, ImageRecord
from saccade.datasets.prepare import prepare
from saccade.features.extract import extract
from saccade.features.images import decode_image, read_image
from saccade.features.store import FeatureStore
from tests.test_images import png

TWELVE = np.random.default_rng(0).integers(0, 4096, (24, 32)).astype(np.uint16)
TWELVE[0, :2] = 0, 4095
SIXTEEN = (TWELVE * 16).astype(np.uint16)


def grey_png(values: np.ndarray) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 0, rows)


def tiff(values: np.ndarray, bits: int = 16, white_is_zero: bool = False, kind: int = 1) -> bytes:
    """A TIFF made by hand: one strip, not packed."""
    data = np.ascontiguousarray(values).tobytes()
    if bits == 12:  # two values in three bytes
        flat = values.reshape(-1, 2).astype(int)
        data = np.stack(
            [flat[:, 0] >> 4, (flat[:, 0] & 15) << 4 | flat[:, 1] >> 8, flat[:, 1] & 255], 1
        )
        data = data.astype(np.uint8).tobytes()
    height, width = values.shape
    fields = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1),
        (262, 3, 0 if white_is_zero else 1), (273, 4, 8), (277, 3, 1), (278, 4, height),
        (279, 4, len(data)), (339, 3, kind),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, form, 1, value) for tag, form, value in fields)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(fields)) + table + bytes(4)


def pgm(values: np.ndarray, most: int) -> bytes:
    head = f"P5\n{values.shape[1]} {values.shape[0]}\n{most}\n".encode()
    return head + values.astype(">u2").tobytes()


def jpeg_2000(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG2000")
    return stream.getvalue()


def grey(data: bytes, window: str = "auto") -> np.ndarray:
    pixels = decode_image(data, "a", window).numpy()
    assert (pixels == pixels[:1]).all()
    return pixels[0]


def linear(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The oracle: shares of the window, clipped, as 0..255."""
    return np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255


def near(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found.astype(float) - wanted).max() <= 1)


FORMS = {
    "PNG": grey_png,
    "TIFF": tiff,
    "PGM": lambda values: pgm(values, 65535),
    "JPEG 2000": jpeg_2000,
}


@pytest.mark.parametrize("form", FORMS)
class TestEveryFormat:
    def test_the_whole_range_gives_the_higher_eight_bits(self, form: str) -> None:
        for window in ("auto", "full", "0,65535"):
            assert np.array_equal(grey(FORMS[form](SIXTEEN), window), SIXTEEN >> 8)

    def test_a_window_is_of_the_files_values(self, form: str) -> None:
        data = FORMS[form](TWELVE)
        for low, high in ((0, 4095), (1000, 3000), (-500, 2000.5)):
            for window in (f"{low},{high}", f"auto:{low},{high}"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SaccadeWarning)
                    assert near(grey(data, window), linear(TWELVE, low, high))

    def test_a_small_part_of_the_range_is_told_with_the_option(self, form: str) -> None:
        with pytest.warns(SaccadeWarning) as told:
            assert grey(FORMS[form](TWELVE)).max() == 15
        (said,) = (str(one.message) for one in told)
        for fact in ("a ", "0 to 4095", "0 to 65535", "--option window=0,4095"):
            assert fact in said

    def test_and_what_lies_outside_of_the_sets_window_too(self, form: str) -> None:
        with pytest.warns(SaccadeWarning, match="outside of the set's window"):
            grey(FORMS[form](SIXTEEN), "auto:0,4095")

    def test_but_not_what_somebody_said(self, form: str) -> None:
        for window in ("full", "0,100", "0,65535"):
            grey(FORMS[form](TWELVE), window)  # a warning would be an error here

    def test_an_even_image_has_no_contrast_to_lose(self, form: str) -> None:
        assert (grey(FORMS[form](np.full_like(TWELVE, 512))) == 2).all()


def test_the_header_of_some_formats_says_how_many_bits_there_are() -> None:
    assert np.array_equal(grey(tiff(TWELVE, bits=12)), TWELVE >> 4)
    assert np.array_equal(grey(pgm(TWELVE, 4095)), TWELVE >> 4)
    assert near(grey(pgm(np.minimum(TWELVE, 999), 999)), linear(np.minimum(TWELVE, 999), 0, 999))
    assert near(grey(pgm(TWELVE, 4095), "100,2000"), linear(TWELVE, 100, 2000))


def test_white_is_zero_is_no_negative() -> None:
    """Pillow turns 8 bits around itself, and leaves 16 as they are."""
    assert np.array_equal(grey(tiff(SIXTEEN, white_is_zero=True)), 255 - (SIXTEEN >> 8))
    eight = (TWELVE >> 4).astype(np.uint8)
    assert np.array_equal(grey(tiff(eight, bits=8, white_is_zero=True)), 255 - eight)
    turned = grey(tiff(TWELVE, white_is_zero=True), "0,4095")
    assert np.array_equal(turned, 255 - (TWELVE >> 4))


def test_signed_values_have_a_range_of_their_own() -> None:
    signed = (SIXTEEN.astype(int) - 32768).astype(np.int16)
    assert np.array_equal(grey(tiff(signed, kind=2)), SIXTEEN >> 8)
    assert near(grey(tiff(signed, kind=2), "-1000,3000"), linear(signed, -1000, 3000))


@pytest.mark.parametrize(("values", "kind"), [(TWELVE.astype(np.int32) - 1024, 2), (TWELVE / 7, 3)])
def test_32_bits_need_a_window_that_is_said(values: np.ndarray, kind: int) -> None:
    values = values.astype(np.int32 if kind == 2 else np.float32)
    data = tiff(values, bits=32, kind=kind)
    assert near(grey(data, "-200,500"), linear(values, -200, 500))
    for window in ("auto", "full", "auto:0,4095"):
        with pytest.raises(BadImage, match="unknown range") as caught:
            decode_image(data, "a", window)
        assert "window=LO,HI" in caught.value.hint
    values = np.full((4, 4), np.nan, np.float32)
    with pytest.raises(BadImage):
        decode_image(tiff(values, bits=32, kind=3), "a", "0,1")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_and_transparency_of_sixteen_bits(channels: int) -> None:
    """Pillow keeps the higher 8 bits of these, in which 12-bit values are nothing."""
    values = np.random.default_rng(1).integers(0, 4096, (9, 11, channels)).astype(">u2")
    if channels % 2 == 0:
        values[..., -1] = np.where(np.arange(11) < 5, 0, 65535)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    data = png(11, 9, 16, {2: 4, 3: 2, 4: 6}[channels], rows)
    found = decode_image(data, "a", "0,4095").permute(1, 2, 0).numpy()
    colours = values[..., :1] if channels == 2 else values[..., :3]
    wanted = np.broadcast_to(linear(colours, 0, 4095), found.shape).copy()
    if channels % 2 == 0:
        wanted[:, :5] = 255
    assert near(found, wanted)
    with pytest.warns(SaccadeWarning, match="small part"):
        decode_image(data, "a")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_damaged_colours_of_sixteen_bits_are_refused(share: float) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (40, 40, 3)).astype(">u2")
    data = png(40, 40, 16, 2, b"".join(b"\0" + row.tobytes() for row in values))
    broken = bytearray(data)
    broken[int(len(data) * share)] ^= 85
    for spoilt in (data[: int(len(data) * share)], bytes(broken)):
        with pytest.raises(BadImage):
            decode_image(spoilt, "a", "0,4095")


def test_eight_bits_have_no_window() -> None:
    eight = Image.fromarray((TWELVE >> 4).astype(np.uint8))
    for kind in ("PNG", "TIFF", "BMP"):
        stream = io.BytesIO()
        eight.save(stream, kind)
        for window in ("full", "0,4095", "auto:0,4095"):
            assert np.array_equal(grey(stream.getvalue(), window), np.asarray(eight))


@pytest.mark.parametrize(
    "said", ["", "1", "5,1", "3,3", "0,nan", "0,inf", "dark", "auto:", "1,2,3"]
)
def test_a_window_that_is_none(said: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        check(Collection("table", str(tmp_path), []), window=said)
    assert "window" in caught.value.message
    assert as_window("window", " -1024 , 3071.5 ") == "-1024,3071.5"


# The window of a set.


def written(root: Path, **images: bytes) -> list[str]:
    root.mkdir(exist_ok=True)
    for name, data in images.items():
        (root / f"{name}.png").write_bytes(data)
    return [f"{name}.png" for name in images]


def eight_bits() -> bytes:
    stream = io.BytesIO()
    Image.fromarray((TWELVE >> 4).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("images", "window"),
    [
        ({"a": grey_png(TWELVE)}, "auto:0,4095"),
        ({"a": grey_png(TWELVE), "b": grey_png(TWELVE // 40)}, "auto:0,4095"),
        ({"a": grey_png(TWELVE // 2)}, "auto:0,2047"),
        ({"a": grey_png(TWELVE // 100), "b": eight_bits()}, "auto:0,255"),
        ({"a": grey_png(TWELVE), "b": grey_png(SIXTEEN)}, "auto"),
        ({"a": tiff((TWELVE.astype(int) - 1000).astype("<i2"), kind=2)}, "auto:-1024,4095"),
        ({"a": pgm(TWELVE, 4095)}, "auto"),
        ({"a": eight_bits()}, "auto"),
        ({"a": b"", "b": b"no image"}, "auto"),
        ({"a": grey_png(np.zeros_like(TWELVE))}, "auto"),
    ],
)
def test_the_window_of_a_set_is_the_bits_that_its_images_use(
    images: dict[str, bytes], window: str, tmp_path: Path
) -> None:
    files = written(tmp_path, **images)
    assert set_window(tmp_path, files)[0] == window


def test_one_image_that_uses_all_bits_among_others_that_do_not_is_told(tmp_path: Path) -> None:
    images = {name: grey_png(TWELVE) for name in "abc"} | {"d": grey_png(SIXTEEN)}
    files = written(tmp_path, **images)
    records = [ImageRecord(number, file, "train") for number, file in enumerate(files)]
    captions = [Caption(1, 1, "a dog", ("a", "dog"), "train")]
    made, findings = check(Collection("x", str(tmp_path), records, captions=captions))
    assert made.window == "auto"
    (found,) = [one for one in findings if "16 bits" in one.message]
    assert (found.level, found.count) == ("warning", 3)
    assert files[3] in found.cause
    assert "window=" in found.hint


def test_a_source_can_give_the_window(tmp_path: Path) -> None:
    (file,) = written(tmp_path, a=grey_png(TWELVE))
    images = [ImageRecord(1, file, "train")]
    captions = [Caption(1, 1, "a dog", ("a", "dog"), "train")]
    given = Collection("x", str(tmp_path), images, captions=captions, window="10,20")
    assert check(given)[0].window == "10,20"
    assert check(given, window="0,4095")[0].window == "0,4095"


def test_from_the_data_folder_to_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    written(root, a=grey_png(TWELVE), b=grey_png(TWELVE[::-1]))
    (root / "t.csv").write_text("image,caption,split\na.png,a dog,train\nb.png,a cat,val\n")
    data = prepare(None, root, tmp_path / "data")
    (finding,) = (one for one in DataFolder(data).about["findings"] if "16 bits" in one["message"])
    assert finding["level"] == "warning"
    assert finding["examples"] == ["a.png", "b.png"]
    assert "0,4095" in finding["message"]
    assert "--option window=" in finding["hint"]
    store = FeatureStore.open(extract(data, "pixels", size=24, resize="squash"))
    assert store.header.preprocessing.window == DataFolder(data).window == "auto:0,4095"
    assert "warning" not in capsys.readouterr().err
    again = prepare(None, root, data, window="100,2000")
    store = FeatureStore.open(extract(again, "pixels", size=24, resize="squash", name="other"))
    assert store.header.preprocessing.window == "100,2000"


def test_extract_tells_of_images_that_nobody_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    written(root, a=grey_png(TWELVE), b=grey_png(TWELVE[::-1]))
    (root / "t.csv").write_text("image,caption,split\na.png,a dog,train\nb.png,a cat,val\n")
    data = prepare(None, root, tmp_path / "data")
    about = json.loads((data / "dataset.json").read_text())
    del about["window"]  # as a folder of before has it
    (data / "dataset.json").write_text(json.dumps(about))
    for workers in (0, 1):
        extract(data, "pixels", size=24, resize="squash", name=f"w{workers}", workers=workers)
        said = capsys.readouterr().err
        assert said.count("--option window=0,4095") == 1
        assert "a.png" in said
        assert "2 images" in said


def test_a_run_opens_a_new_image_likewise(tmp_path: Path) -> None:
    from saccade.inference.explain import image_of

    path = tmp_path / "a.png"
    path.write_bytes(grey_png(TWELVE))
    wanted = read_image(path, "0,4095")
    assert near(wanted[0].numpy(), linear(TWELVE, 0, 4095))
    assert image_of(path, "0,4095").mean() > 100
