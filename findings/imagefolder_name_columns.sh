#!/bin/sh
# A text column of an imagefolder's metadata whose name ends in "_file_name", such as the name that a
# photo had before, is renamed by the hub's library and becomes a second column of images.
#
# Packages: datasets 5.2.0, pillow 12.0.0 (Python 3.11).
# Guessed:  only `file_name` names the image; `original_file_name` stays a column of texts.
# Seen:     the column is called `original` and its type is Image. Loading says nothing; the first
#           row that is read raises FileNotFoundError for the old name, or, where a file of that
#           name lies in the folder, has another row's picture as a second image.
# Matters:  exports of annotation tools keep the original name beside their own. A set that was read
#           by its text columns before has lost one of them, and a program that takes "the image
#           column" finds two.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==12.0.0"
cd "$folder"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()
place = Path("set/train")
place.mkdir(parents=True)
lines = ["file_name,caption,original_file_name"]
for number in range(3):
    Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(place / f"{number}.png")
    # The name that each had before; that of row 0 was never here, those of others are other rows'.
    lines.append(f"{number}.png,caption {number},{['IMG_7', '2', '1'][number]}.png")
(place / "metadata.csv").write_text("\n".join(lines) + "\n")
found = datasets.load_dataset("imagefolder", data_dir="set")["train"]
print("datasets", datasets.__version__, dict(found.features))
assert "original_file_name" not in found.features, "changed: the column keeps its name"
assert isinstance(found.features["original"], datasets.Image), "changed: the column is text"
try:
    found[0]
except FileNotFoundError as error:
    print("row 0:", type(error).__name__, Path(error.filename).name)
else:
    raise AssertionError("changed: the row is read")
second = found[1]["original"].getpixel((0, 0))[0]
print("row 1: a second image, whose red is", second, "as that of row 2")
assert second == 160, "changed: it is no other row's picture"
PYTHON
echo "as stated"
