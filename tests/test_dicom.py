"""DICOM: bits stored, rescale, window, MONOCHROME1, in this order, held against the standard."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from saccade.core.errors import BadConfig, BadImage, SaccadeWarning
from saccade.data.image_files import set_window
from saccade.datasets.prepare import prepare
from saccade.features.extract import extract
from saccade.features.images import decode_image
from saccade.features.store import FeatureStore

HU = np.random.default_rng(0).integers(-1000, 3000, (24, 32))
HU[0, :3] = -1024, 3071, 0
"""Values as a scanner of computed tomography means them."""


def dataset(
    stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, bits: int = 12, **fields: Any
) -> Dataset:
    """A dataset of one grey image; `fields` replace its own."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.Rows, made.Columns = stored.shape[:2]
    made.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = 8 * stored.dtype.itemsize
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    big = syntax == ExplicitVRBigEndian
    made.PixelData = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def saved(made: Dataset, head: bool = True) -> bytes:
    stream = io.BytesIO()
    if head:
        made.save_as(stream, enforce_file_format=True)
    else:
        del made.file_meta
        made.save_as(stream, implicit_vr=True, little_endian=True)
    return stream.getvalue()


def grey(made: Dataset | bytes, window: str = "auto") -> np.ndarray:
    data = made if isinstance(made, bytes) else saved(made)
    pixels = decode_image(data, "a.dcm", window).numpy()
    assert (pixels == pixels[:1]).all()
    return pixels[0]


def by_the_standard(
    values: np.ndarray, center: float, width: float, function: str = "LINEAR"
) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, written out pixel by pixel, from 0 to 255."""

    def one(x: float) -> float:
        if function == "SIGMOID":
            return 255 / (1 + np.exp(min(-4 * (x - center) / width, 700)))
        if function == "LINEAR_EXACT":
            low, high = center - width / 2, center + width / 2
            between = (x - center) / width + 0.5 if low < x <= high else 0
        else:
            low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
            between = (x - (center - 0.5)) / (width - 1) + 0.5 if low < x <= high else 0
        return 0 if x <= low else 255 if x > high else 255 * between

    return np.array([[one(float(x)) for x in row] for row in values])


def near(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found.astype(float) - wanted).max() <= 1)


def unsigned(**fields: Any) -> Dataset:
    fields = {"RescaleSlope": 1, "RescaleIntercept": -1024, **fields}
    return dataset((HU + 1024).astype(np.uint16), **fields)


ABDOMEN = {"WindowCenter": 40, "WindowWidth": 400}


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (-600, 1500), (300.5, 1), (100, 2)])
def test_rescale_and_window(function: str | None, center: float, width: float) -> None:
    fields = {"WindowCenter": center, "WindowWidth": width}
    fields |= {} if function is None else {"VOILUTFunction": function}
    wanted = by_the_standard(HU, center, width, function or "LINEAR")
    assert near(grey(unsigned(**fields)), wanted)
    assert near(grey(unsigned(**fields, PhotometricInterpretation="MONOCHROME1")), 255 - wanted)


def test_signed_and_unsigned_storage_of_the_same_values() -> None:
    ways = [
        unsigned(**ABDOMEN),
        dataset(HU.astype(np.int16), bits=16, **ABDOMEN),
        dataset(HU.astype(np.int16), bits=13, **ABDOMEN),
        dataset((HU + 1024).astype(np.uint16), bits=16, RescaleIntercept=-1024, **ABDOMEN),
        dataset((HU * 2).astype(np.int16), bits=14, RescaleSlope=0.5, **ABDOMEN),
        dataset(HU.astype(np.int32), bits=32, **ABDOMEN),
        dataset((HU.astype(np.int16) & 0x1FFF).astype(np.uint16), bits=13, **ABDOMEN)
    ]  # fmt: skip
    ways[-1].PixelRepresentation = 1  # 13 bits in two's complement, the others 0
    first = grey(ways[0])
    assert len(np.unique(first)) > 50
    for way in ways[1:]:
        assert np.array_equal(grey(way), first)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_of_overlays_are_no_part_of_a_value(signed: bool) -> None:
    plain = dataset(HU.astype(np.int16), bits=13, **ABDOMEN) if signed else unsigned(**ABDOMEN)
    clean = grey(plain)
    stored = HU & 0x1FFF if signed else HU + 1024
    overlay = np.random.default_rng(1).integers(0, 2, HU.shape) << 15
    made = dataset((stored | overlay).astype(np.uint16), bits=13 if signed else 12, **ABDOMEN)
    made.PixelRepresentation = int(signed)
    if not signed:
        made.RescaleIntercept = -1024
    assert np.array_equal(grey(made), clean)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_high_bit_says_where_the_value_is(syntax: str) -> None:
    noise = np.random.default_rng(1).integers(0, 16, HU.shape)
    made = unsigned(**ABDOMEN)
    made.PixelData = ((HU + 1024) << 4 | noise).astype("<u2").tobytes()
    made.HighBit = 15
    if syntax == RLELossless:
        made.compress(RLELossless)
    assert np.array_equal(grey(made), grey(unsigned(**ABDOMEN)))


def test_of_several_windows_the_first_counts_unless_another_is_said() -> None:
    several = unsigned(WindowCenter=[40, -600], WindowWidth=[400, 1500])
    assert near(grey(several), by_the_standard(HU, 40, 400))
    assert near(grey(several, "auto:0,4095"), by_the_standard(HU, 40, 400))
    wanted = np.clip((HU + 1350) / 1500, 0, 1) * 255
    assert near(grey(several, "-1350,150"), wanted)
    one = dataset((HU + 1024).astype(np.uint16), PhotometricInterpretation="MONOCHROME1")
    assert near(grey(one, "0,4095"), 255 - (HU + 1024) / 4095 * 255)


def test_all_bits_without_a_window() -> None:
    stored = HU + 1024
    for window in ("auto", "full"):
        assert np.array_equal(grey(unsigned(), window), stored >> 4)
    assert np.array_equal(grey(unsigned(**ABDOMEN), "full"), stored >> 4)
    assert np.array_equal(
        grey(unsigned(PhotometricInterpretation="MONOCHROME1")), 255 - (stored >> 4)
    )
    with pytest.warns(SaccadeWarning, match=r"from 0 to 4095, a small part of 0 to 65535.*0,4095"):
        grey(dataset(stored.astype(np.uint16), bits=16))
    eight = (stored >> 4).astype(np.uint8)
    for window in ("auto", "full", "0,4095", "auto:0,4095"):
        assert np.array_equal(grey(dataset(eight, bits=8), window), eight)


def test_values_below_the_window_are_black_and_none_is_stretched() -> None:
    found = grey(unsigned(WindowCenter=2000, WindowWidth=200))
    assert (found[HU < 1899] == 0).all()
    assert (found[HU > 2100] == 255).all()
    low = dataset(np.full((8, 8), 500, np.uint16), WindowCenter=1000, WindowWidth=2000)
    assert abs(int(grey(low)[0, 0]) - 64) <= 1


def lut(values: list[int], first: int = 0, bits: int = 16) -> Sequence:
    table = Dataset()
    table.LUTDescriptor = [len(values), first, bits]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = values
    table["LUTData"].VR = "US"
    table.ModalityLUTType = "US"
    return Sequence([table])


def test_tables_of_modality_and_window() -> None:
    stored = np.arange(256).reshape(16, 16).astype(np.uint16)
    squares = [n * n for n in range(256)]
    made = dataset(stored, bits=8, BitsAllocated=16, ModalityLUTSequence=lut(squares))
    wanted = stored.astype(int) ** 2
    assert near(grey(made, "full"), wanted / 65535 * 255)
    made.WindowCenter, made.WindowWidth = 30000, 20000
    assert near(grey(made), by_the_standard(wanted, 30000, 20000))
    inverse = [4095 - 16 * n for n in range(256)]
    made = dataset(stored, bits=8, VOILUTSequence=lut(inverse, bits=12))
    assert near(grey(made), (4095 - 16 * stored.astype(int)) / 4095 * 255)


def test_newer_kinds_keep_rescale_and_window_in_groups() -> None:
    voi, rescale, group = Dataset(), Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = 40, 400
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, -1024
    group.FrameVOILUTSequence = Sequence([voi])
    group.PixelValueTransformationSequence = Sequence([rescale])
    made = dataset((HU + 1024).astype(np.uint16), NumberOfFrames=1)
    made.SharedFunctionalGroupsSequence = Sequence([group])
    assert np.array_equal(grey(made), grey(unsigned(**ABDOMEN)))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless]
)
def test_ways_of_writing_the_same_image(syntax: str) -> None:
    made = unsigned(**ABDOMEN)
    if syntax == ExplicitVRBigEndian:
        made = dataset((HU + 1024).astype(np.uint16), syntax, RescaleIntercept=-1024, **ABDOMEN)
    elif syntax == JPEG2000Lossless:
        stream = io.BytesIO()
        Image.fromarray((HU + 1024).astype(np.uint16)).save(stream, "JPEG2000", no_jp2=True)
        from pydicom.encaps import encapsulate

        made.PixelData = encapsulate([stream.getvalue()])
        made["PixelData"].is_undefined_length = True
        made.BitsStored, made.HighBit = 16, 15  # Pillow writes 16
        made.file_meta.TransferSyntaxUID = syntax
    elif syntax == RLELossless:
        made.compress(syntax)
    else:
        made.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(grey(made), grey(unsigned(**ABDOMEN)))


def test_files_without_the_head() -> None:
    assert np.array_equal(grey(saved(unsigned(**ABDOMEN), head=False)), grey(unsigned(**ABDOMEN)))


@pytest.mark.parametrize("colours", ["RGB", "YBR_FULL", "PALETTE COLOR"])
def test_colours(colours: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)
    made = dataset(rgb, bits=8, PhotometricInterpretation=colours, PlanarConfiguration=0)
    if colours == "YBR_FULL":
        ycbcr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
        made.PixelData = ycbcr.tobytes()
    if colours == "PALETTE COLOR":
        index = np.arange(120).reshape(10, 12).astype(np.uint8)
        made = dataset(index, bits=8, PhotometricInterpretation=colours)
        for place, name in enumerate(("Red", "Green", "Blue")):
            table = rgb.reshape(-1, 3)[:, place].astype("<u2") * 257
            setattr(made, f"{name}PaletteColorLookupTableDescriptor", [120, 0, 16])
            setattr(made, f"{name}PaletteColorLookupTableData", table.tobytes())
    found = decode_image(saved(made), "a").permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - rgb).max() <= (3 if colours == "YBR_FULL" else 0)


def changed(**fields: Any) -> bytes:
    return saved(unsigned(**{**ABDOMEN, **fields}))


def in_syntax(syntax: str) -> bytes:
    made = unsigned()
    from pydicom.encaps import encapsulate

    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].is_undefined_length = True
    return saved(made)


def without(*names: str) -> bytes:
    made = unsigned()
    for name in names:
        delattr(made, name)
    return saved(made)


def deflated() -> bytes:
    made = unsigned()
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return saved(made)


REFUSED = {
    "several frames": (changed(NumberOfFrames=3), "3 frames", "Save the frames"),
    "no image": (without("PixelData"), "without an image", "Leave it out"),
    "no sides": (without("Rows"), "without an image", "Leave it out"),
    "no decoder": (in_syntax(JPEGLosslessSV1), "need another package", "pylibjpeg"),
    "a film": (in_syntax(MPEG4HP41), "does not decode", "PNG"),
    "a broken JPEG": (in_syntax(JPEGBaseline8Bit), "damaged", ""),
    "packed as a whole": (deflated(), "deflated", "PNG"),
    "too large": (changed(Rows=60000, Columns=60000), "million", "smaller"),
    "a line": (changed(Rows=1, Columns=768), "over 100 times", "Crop"),
    "cut short": (changed()[:-99], "damaged", "Copy"),
    "cut in the header": (changed()[:300], "without an image", "copy"),
    "a window without width": (changed(WindowWidth=0), "window that is none", "--option window"),
    "an unknown function": (changed(VOILUTFunction="CURVE"), "CURVE", "--option window"),
    "a slope of 0": (changed(RescaleSlope=0), "rescale of 0", "PNG"),
    "more bits than there are": (changed(BitsStored=20, HighBit=19), "damaged", ""),
    "strange colours": (changed(PhotometricInterpretation="HSV"), "HSV", "PNG"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(case: str) -> None:
    data, cause, hint = REFUSED[case]
    with pytest.raises(BadImage) as caught:
        decode_image(data, "scan.dcm")
    assert caught.value.location == "scan.dcm"
    assert cause in caught.value.message
    assert hint in caught.value.hint


def test_a_window_that_is_said_needs_none_of_the_file() -> None:
    assert grey(changed(WindowWidth=0), "full").any()
    assert near(grey(changed(WindowWidth=0), "-160,240"), np.clip((HU + 160) / 400, 0, 1) * 255)


def test_limits_come_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("saccade.data.image_files.dicom_levels", never)
    with pytest.raises(BadImage, match="million"):
        decode_image(changed(Rows=60000, Columns=60000), "a")


@pytest.mark.parametrize("place", np.linspace(0.0, 0.999, 40))
def test_damage_raises_nothing_but_bad_image(place: float) -> None:
    data = bytearray(changed())
    for byte in (0, 255, 7):
        data[int(len(data) * place)] = byte
        for window in ("auto", "full"):
            try:
                decode_image(bytes(data), "a", window)
            except (BadImage, SaccadeWarning):
                continue


def test_without_pydicom_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(changed())
    for read in (
        lambda: decode_image(changed(), "a"),
        lambda: set_window(tmp_path, ["a.dcm"]),
    ):
        with pytest.raises(BadConfig) as caught:
            read()
        assert "saccade[dicom]" in caught.value.hint


def test_a_table_of_scans_with_and_without_endings(tmp_path: Path) -> None:
    """`a` is a file without an ending, `b` one that the table names without its ending."""
    root = tmp_path / "set"
    root.mkdir()
    (root / "a").write_bytes(changed())
    (root / "b.dcm").write_bytes(changed())
    (root / "t.csv").write_text("image,caption,split\na,a scan,train\nb,a scan,val\n")
    data = prepare(None, root, tmp_path / "data")
    store = FeatureStore.open(extract(data, "pixels", size=24, resize="squash"))
    assert store.header.preprocessing.window == "auto"
    regions, mask = store.read(np.arange(2))
    assert mask.all()
    assert np.array_equal(regions[0], regions[1])
    assert store.sizes.tolist() == [[32, 24]] * 2
