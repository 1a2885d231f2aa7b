#!/bin/sh
# Equal tensors with equal metadata, saved as safetensors by fresh processes: the files differ.
#
# Packages: safetensors 0.8.0 with numpy 2.3.4 (Python 3.11).
# Guessed:  the same input gives the same bytes, as for the tensors, whose order in the file is fixed.
# Seen:     metadata of six keys stands in the header in another order in nearly every process; its
#           length and the tensors' bytes are equal. Metadata of one key: equal files.
# Matters:  SHA-256 of weight files (caches, hubs, "is it the same checkpoint?") differ between two
#           runs that are equal bit for bit. Keep one key, or sort by writing the header yourself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "safetensors==0.8.0" "numpy==2.3.4"
cd "$folder"
cat > save.py <<'PYTHON'
import hashlib
import sys

import numpy
import safetensors.numpy

keys = int(sys.argv[1])
about = {f"key{n}": str(n) for n in range(keys)}
data = safetensors.numpy.save({"b": numpy.arange(3.0), "a": numpy.zeros(2)}, metadata=about)
print(len(data), hashlib.sha256(data).hexdigest())
PYTHON
several=$(for n in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" save.py 6; done | sort -u)
one=$(for n in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" save.py 1; done | sort -u)
lengths=$(echo "$several" | cut -d" " -f1 | sort -u | wc -l)
echo "six keys: $(echo "$several" | wc -l) different files of $lengths length in 8 processes"
echo "one key: $(echo "$one" | wc -l)"
[ "$(echo "$several" | wc -l)" -gt 1 ] || { echo "changed: files with six keys are equal"; exit 1; }
[ "$lengths" -eq 1 ] || { echo "changed: files of other lengths"; exit 1; }
[ "$(echo "$one" | wc -l)" -eq 1 ] || { echo "changed: files with one key differ"; exit 1; }
echo "as stated"
