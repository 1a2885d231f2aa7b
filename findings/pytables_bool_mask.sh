#!/bin/sh
# Features and a mask of True and False, written by h5py: PyTables reads the mask as numbers, 0 and 1,
# without a word; used as it is read, it selects rows 0 and 1 instead of the rows that are True.
#
# Packages: h5py 3.16.0 writes, tables 3.11.1 (PyTables) reads, numpy 2.3.4 (Python 3.11).
# Guessed:  an array of bool, as h5py gives back.
# Seen:     h5py stores bool as an enumeration of FALSE and TRUE over int8; PyTables keeps the int8 and
#           drops the names, with warnings made errors. `features[mask]` of 4 rows and the mask
#           False, True, True, True is rows 0, 1, 1, 1. The float16 features are right. A mask that
#           PyTables writes (a bit field of 8) comes back to h5py as uint8.
# Matters:  the result has as many rows as the image has regions, so no shape is wrong: padding gets
#           the features of the first two regions, and nothing tells.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "h5py==3.16.0" "tables==3.11.1" "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import h5py
import numpy
import tables

with h5py.File("one.h5", "w") as file:
    file["features"] = numpy.arange(12, dtype="float16").reshape(4, 3)
    file["mask"] = numpy.array([False, True, True, True])
with h5py.File("one.h5") as file:
    right = file["features"][:][file["mask"][:]]
with tables.open_file("one.h5") as file:
    features, mask = file.root.features.read(), file.root.mask.read()
print("h5py", h5py.__version__, "reads rows that begin with", right[:, 0].tolist())
print("tables", tables.__version__, mask.dtype, mask.tolist(), features[mask][:, 0].tolist())
assert features.dtype == numpy.float16, "changed: half floats"
assert mask.dtype == numpy.int8, "changed: the mask is of another type"
assert right[:, 0].tolist() == [3, 6, 9], "changed: h5py's own reading"
assert features[mask][:, 0].tolist() == [0, 3, 3, 3], "changed: the mask masks"
with tables.open_file("two.h5", "w") as file:
    file.create_array("/", "mask", numpy.array([False, True]))
with h5py.File("two.h5") as file:
    print("written by tables, read by h5py:", file["mask"].dtype)
    assert file["mask"].dtype == numpy.uint8, "changed: h5py reads a bool of PyTables"
PYTHON
echo "as stated"
