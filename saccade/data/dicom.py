"""DICOM files: one image, its values as the scanner means them, and the window that it names.

The steps are those of the standard (PS3.3 C.7.6.3, C.11.1, C.11.2): the stored bits, without the
others of their word; the rescale, or the table, of the modality; the first window, or the first
table where there is no window; MONOCHROME1, whose low values are white, turned once. Parsing and
decoding are pydicom's, an extra: `saccade[dicom]`.
"""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from saccade.core.errors import BadImage
from saccade.core.tables import optional_package
from saccade.data.levels import Levels

WITHOUT_HEAD = (b"\x08\x00", b"\x02\x00")
"""First bytes of a file that lacks the 128 bytes and the `DICM` at its begin: a group's number."""
SYNTAX, DEFLATED = b"\x02\x00\x10\x00UI", b"1.2.840.10008.1.2.1.99"
"""The element that says how the data are written, and the value for data packed as a whole."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
"""Where newer kinds of files keep rescale and window."""
EXPORT = "Export the image as PNG, or leave it out."
SAY = "Say a window: prepare with --option window=LO,HI, or full."


def is_dicom(data: bytes) -> bool:
    """True for the contents of a DICOM file, whatever its name."""
    return data[128:132] == b"DICM" or (data[:2] in WITHOUT_HEAD and data[3:4] == b"\0")


def open_dicom(data: bytes, name: str | Path) -> Any:
    """The dataset of a file of one image, whose pixels are not decoded yet.

    Raises BadImage for a file without an image, with several, or in a form that nothing here can
    decode; BadConfig where pydicom is not installed.
    """
    pydicom = optional_package("pydicom", "dicom", "reading DICOM needs the package pydicom")
    from pydicom.pixels import get_decoder  # noqa: PLC0415 - an extra
    from pydicom.uid import ImplicitVRLittleEndian  # noqa: PLC0415

    if DEFLATED in data[(at := data.find(SYNTAX, 0, 4096)) : at + 32]:
        message = "is packed as a whole (deflated), which may hide a huge file"
        raise BadImage(message, location=name, hint=EXPORT)
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    if not dataset.get("Rows") or not dataset.get("Columns") or "PixelData" not in dataset:
        message = "is DICOM without an image: it has no PixelData, or no Rows and Columns"
        raise BadImage(message, location=name, hint="Leave it out, or copy the file again.")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        hint = "Save the frames that are asked about as files of one each (or as PNG)."
        raise BadImage(f"holds {frames} frames, not one image", location=name, hint=hint)
    allocated, stored = dataset.get("BitsAllocated", 0), dataset.get("BitsStored", 0)
    if not 0 < stored <= dataset.get("HighBit", stored - 1) + 1 <= allocated:
        message = f"is damaged: of {allocated} bits {stored} are said to be stored"
        raise BadImage(message, location=name, hint=EXPORT)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except RuntimeError:
        message = f"its pixels are {syntax.name}, which pydicom does not decode"
        raise BadImage(message, location=name, hint=EXPORT) from None
    if not decoder.is_available:
        raise _needs_package(dataset, name)
    for group in (dataset[name][0] for name in GROUPS if dataset.get(name)):
        for macro in (group[name][0] for name in MACROS if group.get(name)):
            dataset.update(macro)
    return dataset


def dicom_levels(dataset: Any, name: str | Path, window: str) -> Levels:
    """The values of what `open_dicom` gave. Raises BadImage where `window` leaves it to the file,
    and what that names is none.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut  # noqa: PLC0415

    colours, bits = dataset.PhotometricInterpretation, dataset.BitsStored
    if colours == "PALETTE COLOR":
        values = apply_color_lut(_decoded(dataset, name), dataset)
        return Levels(values[..., :3], 0, np.iinfo(values.dtype).max)
    if dataset.get("SamplesPerPixel", 1) > 1:
        return Levels(_decoded(dataset, name), 0, 2**bits - 1)
    if colours not in ("MONOCHROME1", "MONOCHROME2"):
        raise BadImage(f"its colours are {colours}", location=name, hint=EXPORT)
    least = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    ends = least, least + 2**bits - 1
    values = _stored(dataset, name)
    if dataset.get("ModalityLUTSequence"):
        values = apply_modality_lut(values, dataset)
        ends = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
        slope, intercept = 1 if slope is None else slope, intercept or 0
        if not math.isfinite(slope * intercept) or not slope:
            message = f"has a rescale of {slope:g} and {intercept:g}"
            raise BadImage(message, location=name, hint=EXPORT)
        values = values * slope + intercept
        low, high = sorted(end * slope + intercept for end in ends)
        ends = low, high
    shown = _shown(dataset, values, name) if window.startswith("auto") else None
    return Levels(values, *ends, shown, negative=colours == "MONOCHROME1")


def _decoded(dataset: Any, name: str | Path) -> np.ndarray:
    """The pixels as pydicom gives them. Raises BadImage naming what else could decode them."""
    from pydicom.pixels import pixel_array  # noqa: PLC0415

    try:
        return np.asarray(pixel_array(dataset))
    except RuntimeError:  # none of the decoders that are here knows this kind of JPEG
        raise _needs_package(dataset, name) from None


def _needs_package(dataset: Any, name: str | Path) -> BadImage:
    from pydicom.pixels import get_decoder  # noqa: PLC0415

    syntax = dataset.file_meta.TransferSyntaxUID
    lacking = get_decoder(syntax).missing_dependencies
    packages = "; or ".join(one.partition(" requires ")[2] for one in lacking)
    message = f"its pixels ({syntax.name}) are damaged, or need another package to be decoded"
    hint = f"Install {packages}. Or: {EXPORT}" if packages else f"Copy it again. Or: {EXPORT}"
    return BadImage(message, location=name, hint=hint)


def _stored(dataset: Any, name: str | Path) -> np.ndarray:
    """The stored values, without what else lies in their words, such as overlays."""
    from pydicom.uid import RLELossless  # noqa: PLC0415

    syntax, stored = dataset.file_meta.TransferSyntaxUID, dataset.BitsStored
    if (syntax.is_compressed and syntax != RLELossless) or dataset.BitsAllocated == 1:
        return _decoded(dataset, name).astype(np.int64)
    # pydicom masks too, but takes the lowest bits wherever HighBit says that they are.
    shift = dataset.get("HighBit", stored - 1) + 1 - stored
    signed = dataset.PixelRepresentation
    dataset.BitsStored, dataset.PixelRepresentation = dataset.BitsAllocated, 0
    words = _decoded(dataset, name).astype(np.int64)
    dataset.BitsStored, dataset.PixelRepresentation = stored, signed
    values: np.ndarray = (words >> shift) & (2**stored - 1)
    return values - ((values >> (stored - 1)) << stored) if signed else values


def _number(dataset: Any, name: str) -> float | None:
    """A number of the header, the first where there are several; None where there is none."""
    value = dataset.get(name)
    if value is None or isinstance(value, str | float | int):
        return None if value in (None, "") else float(value)
    return float(value[0]) if len(value) else None


def _shown(dataset: Any, values: np.ndarray, name: str | Path) -> np.ndarray | None:
    """Values as shares of white, 0..1, by the window or the table that the header names first."""
    from pydicom.pixels import apply_voi  # noqa: PLC0415

    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if center is None or width is None:
        if not dataset.get("VOILUTSequence"):
            return None
        most = 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
        return np.asarray(apply_voi(values.round().astype(np.int64), dataset) / most)
    function = dataset.get("VOILUTFunction") or "LINEAR"
    least = 1.0 if function == "LINEAR" else math.ulp(0)
    known = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
    if not known or not math.isfinite(center + width) or width < least:
        message = f"names a window that is none: {function}, centre {center:g}, width {width:g}"
        raise BadImage(message, location=name, hint=SAY)
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700))))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    low = center - width / 2
    return np.asarray(values > low if width == 0 else (values - low) / width)
