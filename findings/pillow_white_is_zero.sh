#!/bin/sh
# The same picture as a TIFF whose zero is white, once with 8 and once with 16 bits a pixel: Pillow
# turns the first around, so that white is bright, and gives the second as a negative.
#
# Packages: pillow 12.0.0 reads; tifffile 2025.10.16 and numpy 2.3.4 write (Python 3.11).
# Guessed:  both are read alike, the right way round or not.
# Seen:     of values that say "white, then black", 8 bits are read as 255, 0 and 16 bits as
#           0, 65535. Nothing in the image's mode or info says that it is a negative; only tag 262
#           (PhotometricInterpretation) does.
# Matters:  scanned radiographs are often stored so. A set that was exported partly with 8 and
#           partly with 16 bits holds positives and negatives, and no program complains.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==12.0.0" "tifffile==2025.10.16" "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy
import PIL
import tifffile
from PIL import Image

seen = {}
for kind in ("uint8", "uint16"):
    most = numpy.iinfo(kind).max
    pixels = numpy.array([[0, most]], dtype=kind)  # white, then black
    tifffile.imwrite(f"{kind}.tif", pixels, photometric="miniswhite")
    with Image.open(f"{kind}.tif") as image:
        assert image.tag_v2[262] == 0, "the file says that zero is white"
        seen[kind] = numpy.asarray(image).ravel().tolist()
        print("pillow", PIL.__version__, kind, image.mode, seen[kind], dict(image.info).keys())
assert seen["uint8"] == [255, 0], "changed: 8 bits are not turned around"
assert seen["uint16"] == [0, 65535], "changed: 16 bits are turned around, too"
PYTHON
echo "as stated"
