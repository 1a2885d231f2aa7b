#!/bin/sh
# A selection of rows saved by an early release of Hugging Face's `datasets` is read by today's
# release as ALL rows of the table it was selected from, in the table's order, without a warning.
#
# Packages: datasets 1.1.3 writes, datasets 5.2.0 reads (Python 3.11).
# Guessed:  the selection comes back (2 rows), or the folder is refused as too old.
# Seen:     datasets 1.1.3 saves the whole table as dataset.arrow and the selection beside it as
#           indices.arrow, which state.json names in "_indices_data_files". datasets 5.2.0 reads
#           dataset.arrow and never opens indices.arrow: 6 rows instead of 2.
# Matters:  a train/validation split that was made by `select`, `shuffle` or `filter` and shared as
#           such folders becomes the same full table in every split: what is tested was trained on.
#
# Needs a C compiler for xxhash 2.0.2, the last series that datasets 1.1.3 can use.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/early"
"$folder/early/bin/pip" install --quiet "datasets==1.1.3" "pyarrow==12.0.1" "numpy==1.26.4" \
    "pandas==1.5.3" "xxhash==2.0.2" setuptools
python3 -m venv "$folder/today"
"$folder/today/bin/pip" install --quiet "datasets==5.2.0"

"$folder/early/bin/python" - "$folder/saved" <<'PYTHON'
import sys

import datasets

table = datasets.Dataset.from_dict({"image": [0, 1, 2, 3, 4, 5], "answer": list("abcdef")})
validation = table.select([4, 1])
assert validation["answer"] == ["e", "b"]
validation.save_to_disk(sys.argv[1])
assert datasets.load_from_disk(sys.argv[1])["answer"] == ["e", "b"]  # its own reader keeps them
print("saved by", datasets.__version__, validation["answer"])
PYTHON
ls "$folder/saved"
"$folder/today/bin/python" - "$folder/saved" <<'PYTHON'
import sys
import warnings

import datasets

with warnings.catch_warnings():
    warnings.simplefilter("error")  # a warning would end this
    read = datasets.load_from_disk(sys.argv[1])
print("read by", datasets.__version__, read["answer"][:])
assert read["answer"][:] == list("abcdef"), "changed: the selection is honoured now"
PYTHON
echo "as stated"
