#!/bin/sh
# A PET series, whose slices have a rescale slope each, as a volume: imageio and SimpleITK both take the
# type of the first slice for all; imageio's numbers overflow, SimpleITK's lose what is behind the point.
#
# Packages: imageio 2.38.1, simpleitk 2.5.7, pydicom 3.0.2, numpy 2.3.4 (Python 3.11).
# Guessed:  the same numbers to 1e-3 as pydicom gives slice by slice.
# Seen:     the first slice is dark, up to 100, and its slope is 1. imageio: int8 for the whole volume, so
#           that 150.5 is -106 and 1190 is -90. SimpleITK: uint16, 150 for 150.5. With a first slope of
#           0.5 SimpleITK's numbers are right. Neither warns.
# Matters:  slopes by slice are how PET is stored, and the first slice is often nearly empty. imageio does
#           the same to a CT or MR series with slope 1 and intercept 0 whose first slice is dark.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "imageio==2.38.1" "simpleitk==2.5.7" "pydicom==3.0.2" \
    "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os

import imageio
import numpy
import pydicom
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid


def write(folder, slopes):
    """Six slices, each of one number all over."""
    series = {name: generate_uid() for name in ("SeriesInstanceUID", "StudyInstanceUID")}
    series["FrameOfReferenceUID"] = generate_uid()
    os.mkdir(folder)
    for number, (slope, stored) in enumerate(zip(slopes, (90, 301, 700, 1501, 800, 200)), 1):
        about = FileMetaDataset()
        about.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        about.MediaStorageSOPInstanceUID = generate_uid()
        about.TransferSyntaxUID = ExplicitVRLittleEndian
        values = series | {
            "SOPClassUID": about.MediaStorageSOPClassUID, "Modality": "PT", "Rows": 8, "Columns": 8,
            "SOPInstanceUID": about.MediaStorageSOPInstanceUID, "InstanceNumber": number,
            "ImagePositionPatient": [0, 0, 2 * number], "SliceThickness": 2, "PixelSpacing": [1, 1],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16,
            "HighBit": 15, "PixelRepresentation": 0, "RescaleSlope": slope, "RescaleIntercept": 0,
            "PixelData": numpy.full((8, 8), stored, "<u2").tobytes(),
        }  # fmt: skip
        slice_ = FileDataset("", {}, file_meta=about, preamble=b"\0" * 128)
        for name, value in values.items():
            setattr(slice_, name, value)
        slice_.save_as(f"{folder}/{number}.dcm", enforce_file_format=True)


def read(folder):
    """The number of each slice by three programs."""
    slices = [pydicom.dcmread(f"{folder}/{number}.dcm") for number in range(1, 7)]
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
    found = {
        "pydicom": numpy.stack([apply_modality_lut(one.pixel_array, one) for one in slices]),
        "SimpleITK": SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(files)),
        "imageio": numpy.asarray(imageio.volread(folder, "DICOM")),
    }
    for name, volume in found.items():
        print(folder, name, volume.dtype, volume[:, 0, 0].round(3).tolist())
    return {name: volume[:, 0, 0].astype(float) for name, volume in found.items()}


write("whole", [1, 0.5, 1.7, 0.25, 3.3, 1.1])
seen = read("whole")
right = seen["pydicom"]
assert seen["imageio"].tolist() == [90, -106, -90, 119, 80, -36], "changed: imageio"
assert seen["SimpleITK"].tolist() == numpy.floor(right + 1e-6).tolist(), "changed: SimpleITK"
write("half", [0.5, 0.5, 1.7, 0.25, 3.3, 1.1])
seen = read("half")
assert abs(seen["SimpleITK"] - seen["pydicom"]).max() < 1e-3, "changed: SimpleITK, first slope 0.5"
PYTHON
echo "as stated"
