"""Reading images that nobody should trust, and preparing them for a backbone."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydantic import ValidationError
from torchvision.transforms.v2 import functional as vision

from saccade.core.errors import BadImage
from saccade.data import image_files
from saccade.features.images import decode_image, read_image
from saccade.features.preprocessing import (
    boxes_in_image,
    grid_boxes,
    normalise,
    resize_and_crop,
    smaller_than_crop,
)
from saccade.features.settings import Preprocessing

HALF = (0.5, 0.5, 0.5)


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """Coarse random colours, so that every decoder agrees but no two cells do."""
    cells = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
    return Image.fromarray(np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def array(pixels: torch.Tensor) -> np.ndarray:
    assert pixels.dtype == torch.uint8
    assert pixels.shape[0] == 3
    return pixels.permute(1, 2, 0).numpy()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG made by hand, for what Pillow reads and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_are_read_exactly(kind: str, mode: str) -> None:
    image = scene().convert(mode)
    found = array(decode_image(encoded(image, kind), "a"))
    assert np.array_equal(found, np.array(image.convert("RGB")))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_as_pillow_reads_it(mode: str, options: dict[str, object]) -> None:
    data = encoded(scene().convert(mode), "JPEG", **options)
    wanted = np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(array(decode_image(data, "a")) - wanted).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    first, second = scene(seed=1).convert("P"), scene(seed=2).convert("P")
    still = encoded(first.convert("RGB") if kind == "WEBP" else first, kind, lossless=True)
    moving = encoded(
        first.convert("RGB") if kind == "WEBP" else first,
        kind,
        save_all=True,
        append_images=[second.convert("RGB") if kind == "WEBP" else second],
        lossless=True,
    )
    assert len(moving) > len(still)
    assert torch.equal(decode_image(moving, "a"), decode_image(still, "a"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_white(mode: str) -> None:
    image = scene().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 40, 64))
    image.putalpha(alpha)
    found = array(decode_image(encoded(image, "PNG"), "a"))
    assert (found[:, :40] == 255).all()
    assert np.array_equal(found[:, 40:], np.array(image.convert("RGB"))[:, 40:])


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(0, (0, 0, 8, 16))
    found = array(decode_image(encoded(image, "PNG", transparency=bytes([0, 255])), "a"))
    assert (found[:, :8] == 255).all()
    assert (found[:, 8:] == (40, 50, 60)).all()


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    levels = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        found = array(decode_image(encoded(Image.fromarray(levels), kind), "a"))
        assert np.array_equal(found[:, :, 0], levels >> 8)
        assert np.array_equal(found[:, :, 0], found[:, :, 2])


def test_sixteen_bits_in_three_channels() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    assert np.array_equal(array(decode_image(png(7, 5, 16, 2, rows), "a")), levels >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(array(decode_image(data, "a")), np.array(upright))


def test_damaged_exif_does_not_cost_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        data = encoded(scene(), kind, exif=exif)
        if kind == "JPEG":
            begin = data.index(b"Exif\0\0") + 6
            data = data[:begin] + b"\xff" * 12 + data[begin + 12 :]
        assert decode_image(data, "a").shape[0] == 3


@given(share=st.floats(0.02, 0.995), progressive=st.booleans(), mode=st.sampled_from(["RGB", "L"]))
@settings(max_examples=60, deadline=None)
def test_a_jpeg_that_was_cut_short_is_never_read(
    share: float, progressive: bool, mode: str
) -> None:
    data = encoded(scene().convert(mode), "JPEG", progressive=progressive)
    with pytest.raises(BadImage, match="broken"):
        decode_image(data[: int(len(data) * share)], "broken.jpg")


@given(share=st.floats(0.5, 0.97))
@settings(max_examples=40, deadline=None)
def test_nor_one_whose_end_mark_was_put_back(share: float) -> None:
    data = encoded(scene(), "JPEG", quality=90)
    cut = data[: int(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(BadImage, match="end before the image does"):
        decode_image(cut, "a")


def test_but_an_image_that_ends_in_grey_is() -> None:
    for mode in ("RGB", "L"):
        image = scene().convert(mode)
        image.paste(128 if mode == "L" else (128, 128, 128), (0, 32, 96, 64))
        found = array(decode_image(encoded(image, "JPEG"), "a"))
        assert (found[-8:] == 128).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_other_formats_that_were_cut_short_are_not_read(kind: str, share: float) -> None:
    data = encoded(scene(), kind)
    with pytest.raises(BadImage, match=r"broken\.xyz: "):
        decode_image(data[: int(len(data) * share)], "broken.xyz")


@given(place=st.floats(0.15, 0.85), value=st.integers(1, 255), palette=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_in_a_png_is_an_error_or_harmless(
    place: float, value: int, palette: bool
) -> None:
    """torchvision's decoder dies of a signal on some of these; a dead test run is the failure."""
    image = scene().convert("P" if palette else "RGB")
    data = bytearray(encoded(image, "PNG"))
    data[int(len(data) * place)] ^= value
    try:
        found = array(decode_image(bytes(data), "a"))
    except BadImage:
        return
    assert np.array_equal(found, np.array(image.convert("RGB")))


@given(changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_damage_raises_anything_but_bad_image(changes: list[tuple[float, int]]) -> None:
    for kind in ("JPEG", "WEBP", "GIF", "TIFF"):
        data = bytearray(encoded(scene(40, 24), kind))
        for place, value in changes:
            data[int(len(data) * place)] = value
        try:
            pixels = decode_image(bytes(data), "a")
        except BadImage:
            continue
        array(pixels)


NO_IMAGES = {
    "empty": (b"", "the file is empty"),
    "text": (b"these are words", "not a whole image"),
    "page": (b"<html><body>404 Not Found</body></html>", "not a whole image"),
    "zeros": (bytes(1000), "not a whole image"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF",
        "not a whole image",
    ),
    "only a head": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "not a whole image|damaged"),
    "floats": (encoded(Image.new("F", (9, 9)), "TIFF"), "32-bit numbers"),
    "integers": (encoded(Image.new("I", (9, 9)), "TIFF"), "32-bit numbers"),
    "bomb": (png(50_000, 50_000, 8, 2, b""), "too large"),
    "large": (png(9_000, 9_000, 8, 2, b""), "more than 67 million"),
    "wide": (png(20_200, 200, 8, 0, b""), "one side is over 100 times the other"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_what_is_no_image_is_refused_by_name(case: str, tmp_path: Path) -> None:
    data, cause = NO_IMAGES[case]
    path = tmp_path / f"{case}.jpg"
    path.write_bytes(data)
    with pytest.raises(BadImage, match=cause) as caught:
        read_image(path)
    assert caught.value.location == str(path)
    assert caught.value.hint


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"nowhere\.jpg: no such file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(BadImage, match="is not a file"):
        read_image(tmp_path)
    with pytest.raises(BadImage, match="unreadable"):
        read_image(tmp_path / "a\0b.jpg")


def test_limits_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(), "PNG"))
    assert read_image(path, max_pixels=96 * 64).shape == (3, 64, 96)
    with pytest.raises(BadImage, match="96 x 64 pixels are more than"):
        read_image(path, max_pixels=96 * 64 - 1)
    monkeypatch.setattr(image_files, "MAX_BYTES", 100)
    with pytest.raises(BadImage, match="MiB, more than"):
        read_image(path)


def squash(height: int, width: int, interpolation: str = "bilinear") -> Preprocessing:
    return Preprocessing(
        height=height,
        width=width,
        resize="squash",
        mean=HALF,
        std=HALF,
        interpolation=interpolation,
    )


def middle(height: int, width: int, resize_to: int) -> Preprocessing:
    return Preprocessing(
        height=height,
        width=width,
        resize="shorter_side",
        resize_to=resize_to,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        interpolation="bicubic",
    )


def test_squash_is_pillows_resize() -> None:
    image_record = scene(200, 120)
    image = decode_image(encoded(image_record, "PNG"), "a")
    for name, kind in (
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ):
        found = array(resize_and_crop(image, squash(32, 48, name))).astype(int)
        assert np.abs(found - np.array(image_record.resize((48, 32), kind)).astype(int)).max() <= 1


@given(width=st.integers(20, 90), height=st.integers(20, 90), resize_to=st.integers(24, 40))
@settings(max_examples=60, deadline=None)
def test_shorter_side_is_torchvisions_resize_and_centre_crop(
    width: int, height: int, resize_to: int
) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    resized = vision.resize(image, [resize_to], vision.InterpolationMode.BICUBIC, antialias=True)
    wanted = vision.center_crop(resized, [24, 16])
    found = resize_and_crop(image, middle(24, 16, resize_to))
    assert found.shape == (3, 24, 16)
    assert (found.int() - wanted.int()).abs().max() <= 1


@given(width=st.integers(10, 60), height=st.integers(10, 60))
@settings(max_examples=40, deadline=None)
def test_crop_without_resizing_is_torchvisions_centre_crop(width: int, height: int) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    crop = squash(24, 16).replace(resize="crop")
    found = resize_and_crop(image, crop)
    assert found.shape == (3, 24, 16)
    # Where the image is smaller it stands at the upper left, beside the mean colour.
    inner = [min(24, height), min(16, width)]
    assert torch.equal(found[:, : inner[0], : inner[1]], vision.center_crop(image, inner))
    assert (found[:, inner[0] :] == 128).all()
    assert (found[:, :, inner[1] :] == 128).all()
    assert bool(smaller_than_crop(image, crop)) == (width < 16 or height < 24)
    # A grid of whole pixels lies where these pixels came from.
    boxes = boxes_in_image(grid_boxes(24, 16), crop, width, height) * (width, height, width, height)
    row, column = inner[0] - 1, inner[1] - 1
    x, y = boxes[row * 16 + column].round().astype(int)[:2]
    assert torch.equal(found[:, row, column], image[:, y, x])


def test_apply_scales_to_what_the_backbone_expects() -> None:
    image = torch.tensor([0, 255, 51], dtype=torch.uint8)[:, None, None].expand(3, 20, 30)
    found = normalise(resize_and_crop(image, squash(8, 8)), squash(8, 8))
    assert found.dtype == torch.float32
    assert torch.allclose(found[:, 3, 3], torch.tensor([-1.0, 1.0, -0.6]))
    found = normalise(resize_and_crop(image, middle(8, 8, 8)), middle(8, 8, 8))
    assert torch.allclose(found[1, 3, 3], torch.tensor((1 - 0.456) / 0.224))


@given(
    width=st.integers(60, 300),
    height=st.integers(60, 300),
    x=st.floats(0.02, 0.98),
    y=st.floats(0.02, 0.98),
    cut=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_boxes_lead_back_to_the_place_in_the_image(
    width: int, height: int, x: float, y: float, cut: bool
) -> None:
    """A bright spot that the backbone sees in a cell lies in that cell's box in the image."""
    preprocessing = middle(64, 64, 80) if cut else squash(64, 64)
    column, row = int(x * width), int(y * height)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 255
    seen = resize_and_crop(image, preprocessing)[0].float()
    if seen.max() < 60:
        return  # it lies in what was cut away
    bright = np.unravel_index(int(seen.argmax()), seen.shape)
    cell = (int(bright[0]) // 8) * 8 + int(bright[1]) // 8
    box = boxes_in_image(grid_boxes(8, 8), preprocessing, width, height)[cell]
    assert box[0] - 3 / width <= (column + 0.5) / width <= box[2] + 3 / width
    assert box[1] - 3 / height <= (row + 0.5) / height <= box[3] + 3 / height


def test_boxes_of_many_images_at_once() -> None:
    preprocessing, grid = middle(32, 32, 40), grid_boxes(2, 3)
    width, height = np.array([50, 300, 41]), np.array([200, 40, 41])
    together = boxes_in_image(grid, preprocessing, width, height)
    assert together.shape == (3, 6, 4)
    assert together.dtype == np.float32
    for one, wide, high in zip(together, width, height, strict=True):
        assert np.array_equal(one, boxes_in_image(grid, preprocessing, int(wide), int(high)))
    # 50 x 200 becomes 40 x 160, of which the middle 32 x 32 is seen.
    assert np.allclose(together[0].min(axis=0)[:2], [4 / 40, 64 / 160])
    assert np.allclose(together[0].max(axis=0)[2:], [36 / 40, 96 / 160])
    assert np.array_equal(boxes_in_image(grid, squash(9, 9), 50, 200), grid)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": "squash"}, "resize_to goes with"),
        ({"resize": "crop"}, "resize_to goes with"),
        ({"resize_to": None}, "needs resize_to of at least 16"),
        ({"resize_to": 15}, "needs resize_to of at least 16"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above 0"),
        ({"interpolation": "nearest"}, "bilinear"),
        ({"height": 0}, "greater than or equal"),
        ({"side": 3}, "Extra inputs"),
    ],
)
def test_preprocessing_that_cannot_be(changes: dict[str, object], message: str) -> None:
    good = middle(16, 16, 20)
    assert Preprocessing.model_validate_json(good.model_dump_json()) == good
    with pytest.raises(ValidationError, match=message):
        Preprocessing(**{**good.model_dump(), **changes})
