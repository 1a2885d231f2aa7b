#!/bin/sh
# A CT slice in its own window, as a grey picture: what is darker than the window is black by pydicom
# and white by dicomsdl.
#
# Packages: dicomsdl 0.109.4, pydicom 3.0.2, numpy 2.3.4, pillow 12.0.0 (Python 3.11).
# Guessed:  the two pictures are equal within one grey level.
# Seen:     window 40 / 400 (soft tissue), values from -1024 to 1000: inside and above the window the
#           two agree; below it pydicom has the lowest value and dicomsdl's to_pil_image 255.
# Matters:  air and lung, half of a chest CT, become as white as bone. The picture looks like an
#           inverted one at the edges only, and a network sees no error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "dicomsdl==0.109.4" "pydicom==3.0.2" "numpy==2.3.4" \
    "pillow==12.0.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import dicomsdl
import numpy
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

units = numpy.array([-1024, -600, -200, -100, 0, 40, 100, 200, 300, 1000])
about = FileMetaDataset()
about.MediaStorageSOPClassUID = CTImageStorage
about.MediaStorageSOPInstanceUID = generate_uid()
about.TransferSyntaxUID = ExplicitVRLittleEndian
slice_ = FileDataset("ct.dcm", {}, file_meta=about, preamble=b"\0" * 128)
values = {
    "SOPClassUID": CTImageStorage, "SOPInstanceUID": about.MediaStorageSOPInstanceUID,
    "Modality": "CT", "Rows": 1, "Columns": len(units), "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12,
    "HighBit": 11, "PixelRepresentation": 0, "RescaleSlope": 1, "RescaleIntercept": -1024,
    "WindowCenter": 40, "WindowWidth": 400, "PixelData": (units + 1024).astype("<u2").tobytes(),
}  # fmt: skip
for name, value in values.items():
    setattr(slice_, name, value)
slice_.save_as("ct.dcm", enforce_file_format=True)

read = pydicom.dcmread("ct.dcm")
shown = apply_voi_lut(apply_modality_lut(read.pixel_array, read), read).ravel()
shown = 255 * (shown - shown.min()) / (shown.max() - shown.min())
other = numpy.asarray(dicomsdl.open("ct.dcm").to_pil_image()).ravel().astype(int)
print("Hounsfield units:", units.tolist())
print("pydicom ", pydicom.__version__, shown.round().astype(int).tolist())
print("dicomsdl", other.tolist())
below = units < 40 - 200
assert (shown[below] == 0).all(), "changed: pydicom"
assert (other[below] == 255).all(), "changed: dicomsdl has what is below the window as black"
assert abs(other - shown)[~below].max() <= 1, "changed: inside the window or above it"
PYTHON
echo "as stated"
