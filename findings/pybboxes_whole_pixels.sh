#!/bin/sh
# A box in COCO's form, whose numbers have a part behind the point, made into YOLO's relative numbers by
# pybboxes: it is rounded to whole pixels first, though both forms hold fractions.
#
# Package:  pybboxes 0.2.0 with numpy 1.24.2, else without its dependencies (Python 3.11).
# Guessed:  COCO to YOLO and back gives the same box to a hundredth of a pixel.
# Seen:     [0.6, 0.4, 3.3, 4.4] in an image of 640 x 480 becomes the relative form of [1, 0, 3, 4], and
#           comes back so; the overlap (IoU) with the box that went in is 0.65.
# Matters:  COCO's boxes are mostly fractions of a pixel. On small objects the converted set has other
#           boxes, and an evaluation at 0.75 or more counts right detections as wrong.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps "pybboxes==0.2.0" "numpy==1.24.2"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pybboxes

size = (640, 480)


def convert(box, from_type, to_type):
    return pybboxes.convert_bbox(box, from_type=from_type, to_type=to_type, image_size=size)


def overlap(one, other):
    (a, b, c, d), (e, f, g, h) = one, other
    across = max(0, min(a + c, e + g) - max(a, e)) * max(0, min(b + d, f + h) - max(b, f))
    return across / (c * d + g * h - across)


box = (0.6, 0.4, 3.3, 4.4)
relative = convert(box, "coco", "yolo")
right = ((0.6 + 3.3 / 2) / 640, (0.4 + 4.4 / 2) / 480, 3.3 / 640, 4.4 / 480)
back = convert(relative, "yolo", "coco")
print("yolo", [round(n, 6) for n in relative], "exactly", [round(n, 6) for n in right])
print("back", back, "overlap", round(overlap(box, back), 2))
assert all(abs(a - b) < 1e-9 for a, b in zip(relative, (2.5 / 640, 2 / 480, 3 / 640, 4 / 480))), (
    "changed: the relative form is not that of whole pixels"
)
assert tuple(back) == (1, 0, 3, 4), "changed: the way back"
assert round(overlap(box, back), 2) == 0.65, "changed: the overlap"
PYTHON
echo "as stated"
