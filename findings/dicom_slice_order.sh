#!/bin/sh
# The same folder of CT slices as a volume: imageio orders them by instance number, SimpleITK by the
# place of the slice in the patient. Where numbers run from head to feet, one volume is the other upside
# down.
#
# Packages: imageio 2.38.1, simpleitk 2.5.7 read; pydicom 3.0.2 writes, numpy 2.3.4 (Python 3.11).
# Guessed:  the slices in the same order: both know ImagePositionPatient, and both check the series.
# Seen:     six slices whose positions fall by 2 mm while their numbers rise: imageio gives first the
#           slice number 1, SimpleITK last. Neither warns. The spacing is 2 mm by both.
# Matters:  scanners number from head to feet and from feet to head. A volume from one program and a
#           mask, a box or an attention map from the other lie at mirrored slices, of equal shape.
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
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

series = {name: generate_uid() for name in ("SeriesInstanceUID", "StudyInstanceUID")}
series["FrameOfReferenceUID"] = generate_uid()
os.mkdir("ct")
for number in range(1, 7):
    about = FileMetaDataset()
    about.MediaStorageSOPClassUID = CTImageStorage
    about.MediaStorageSOPInstanceUID = generate_uid()
    about.TransferSyntaxUID = ExplicitVRLittleEndian
    pixels = numpy.full((8, 8), 100 * number, "<u2")
    values = series | {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": about.MediaStorageSOPInstanceUID,
        "Modality": "CT", "InstanceNumber": number, "SliceThickness": 2, "PixelSpacing": [1, 1],
        "ImagePositionPatient": [0, 0, -2 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "Rows": 8, "Columns": 8, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "RescaleSlope": 1, "RescaleIntercept": -1024, "PixelData": pixels.tobytes(),
    }  # fmt: skip
    slice_ = FileDataset(f"ct/{number}.dcm", {}, file_meta=about, preamble=b"\0" * 128)
    for name, value in values.items():
        setattr(slice_, name, value)
    slice_.save_as(f"ct/{number}.dcm", enforce_file_format=True)

volume = imageio.volread("ct", "DICOM")
files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames("ct")
image = SimpleITK.ReadImage(files)
seen = {
    "imageio": ((numpy.asarray(volume)[:, 0, 0] + 1024) // 100).tolist(),
    "SimpleITK": ((SimpleITK.GetArrayFromImage(image)[:, 0, 0] + 1024) // 100).tolist(),
}
print("numbers of the slices:", seen)
print("spacing:", volume.meta["sampling"][0], image.GetSpacing()[2])
assert volume.meta["sampling"][0] == image.GetSpacing()[2] == 2, "changed: the spacing"
assert seen["imageio"] == [1, 2, 3, 4, 5, 6], "changed: imageio's order"
assert seen["SimpleITK"] == [6, 5, 4, 3, 2, 1], "changed: SimpleITK's order"
PYTHON
echo "as stated"
