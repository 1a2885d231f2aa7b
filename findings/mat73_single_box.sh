#!/bin/sh
# The boxes of an image, saved as a MATLAB 7.3 file: of two boxes the readers give an array (2, 4),
# of a single box two of three readers give (4,), a vector.
#
# Packages: mat73 0.65, pymatreader 1.3.2 and hdf5storage 0.2.2 read, the last writes; numpy 2.3.4
#           (Python 3.11).
# Guessed:  (1, 4) and (2, 4) in all: every MATLAB array has two dimensions, and the file says 1 x 4.
# Seen:     hdf5storage gives (1, 4). mat73 and pymatreader drop every dimension of one, so that the
#           number of dimensions is that of the content, not of the variable.
# Matters:  `boxes[:, 2]`, `len(boxes)` and the concatenation of images go wrong for the few images on
#           which one object was found: an IndexError at best, four boxes of one number at worst.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "mat73==0.65" "pymatreader==1.3.2" "hdf5storage==0.2.2" \
    "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import hdf5storage
import mat73
import numpy
import pymatreader

readers = {
    "mat73": mat73.loadmat,
    "pymatreader": pymatreader.read_mat,
    "hdf5storage": hdf5storage.loadmat,
}
seen = {}
for count in (2, 1):
    boxes = numpy.arange(4.0 * count).reshape(count, 4)
    hdf5storage.savemat(f"{count}.mat", {"boxes": boxes}, format="7.3", store_python_metadata=False)
    for name, read in readers.items():
        found = read(f"{count}.mat")["boxes"]
        seen[name, count] = numpy.shape(found)
        print(name, "boxes written:", boxes.shape, "read:", numpy.shape(found))
        assert numpy.array_equal(numpy.ravel(found), boxes.ravel()), "other numbers"
assert all(seen[name, 2] == (2, 4) for name in readers), "changed: two boxes"
assert seen["hdf5storage", 1] == (1, 4), "changed: hdf5storage"
assert seen["mat73", 1] == (4,), "changed: mat73 keeps the box's dimension"
assert seen["pymatreader", 1] == (4,), "changed: pymatreader keeps the box's dimension"
PYTHON
echo "as stated"
