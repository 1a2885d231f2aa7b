"""DAQUAR: questions about indoor scenes (NYU-Depth v2), a question and its answer in turn.

Odd lines are questions, "what is on the table in the image3 ?", even lines answers, several things
set apart by commas. The image's name is taken out of the question ("in the image ?"): a model is
shown the image, and a number would only be learnt by heart. Layout: Malinowski & Fritz 2014,
`qa.894.raw.train.txt` (all answers) and `qa.37.raw.train.txt` (37 kinds of things), whose test
questions also come reduced to 25 images, `qa.37.raw.reduced.test.txt`.
"""

import re
from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, SeveralFit, by_name, files_like
from saccade.data.reading import read_lines
from saccade.data.records import Collection, ImageRecord, Question, Split
from saccade.data.splits import as_drawing

PARTS: tuple[Split, ...] = ("train", "test")
FOLDERS = ("nyu_depth_images", "images", "")
NAME = r"qa\.(?:894|37)\.raw\.(?:train|test|reduced\.test)\.txt"
IMAGE = re.compile(r"image\s?(\d{1,9})\b")  # "in th eimage999" is in the release, too


def read(
    root: Path,
    kind: str = "",
    images: str = "",
    val_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read `qa.{894,37}.raw.{train,test}.txt` in `root` or a folder directly below it.

    `kind` (894 or 37) chooses when both are there. There is no published validation split:
    `val_share` of the training images, drawn with `seed`, become one. `images` is the folder of
    the images (else `nyu_depth_images/`, `images/` and `root`). A question's number is the
    number of its line, test questions above 1,000,000. The reduced test questions are read where
    the others are not there. Raises BadData for lines of another form.
    """
    drawing = as_drawing(val_share, 0, seed)
    found = files_like(root, NAME)
    found = [path for path in found if not kind or path.name.startswith(f"qa.{kind}.")]
    whole = {path.name for path in found if "reduced" not in path.name}
    found = [p for p in found if p.name in whole or p.name.replace(".reduced", "") not in whole]
    kinds = sorted({path.name.split(".")[1] for path in found})
    if not found:
        hint = "Check --root, and --option kind=894 or kind=37."
        raise BadData(f"holds no qa.{kind or '894'}.raw.train.txt", location=root, hint=hint)
    if len(kinds) > 1:
        message = "holds the questions of 894 kinds and of 37, which share their images"
        raise SeveralFit(message, location=root, option="kind", choices=("894", "37"))
    rows = [
        row
        for part in PARTS
        for path in found
        if path.name.endswith(f"{part}.txt")
        for row in _pairs(path, part)
    ]
    held_out, note = drawing.draw_validation(q.image_id for q in rows if q.split == "train")
    questions = [
        q._replace(split="val") if q.split == "train" and q.image_id in held_out else q
        for q in rows
    ]
    files = ImageFiles(root, images or None).beside(found[0])
    image_records = [
        ImageRecord(n, files.find(f"image{n}.png", f"image{n}.jpg", folders=FOLDERS), split)
        for n, split in dict.fromkeys((q.image_id, q.split) for q in questions)
    ]
    several = sum("," in q.best_answer for q in questions)
    reduced = [path.name for path in found if "reduced" in path.name]
    return Collection(
        source="daquar",
        image_root=str(files.root),
        images=image_records,
        questions=questions,
        notes=[
            note,
            f"{several} answers name several things; each such answer is one answer here.",
            *(f"The test questions are the reduced ones of {name}." for name in reduced),
        ],
        edition=kinds[0],
    )


recognise = by_name(NAME)


def _pairs(path: Path, split: Split) -> list[Question]:
    lines = [(n, line.strip()) for n, line in enumerate(read_lines(path), start=1) if line.strip()]
    if len(lines) % 2:
        message = f"has {len(lines)} lines: the last question has no answer"
        hint = "A question and its answer stand in turn; copy again."
        raise BadData(message, location=path, hint=hint)
    questions = []
    for (number, asked), (_, answer) in zip(lines[::2], lines[1::2], strict=True):
        if not (numbers := IMAGE.findall(asked)):
            message = f"line {number} should be a question about imageN: {asked[:50]!a}"
            hint = "A question and its answer stand in turn; was a line lost or added above?"
            raise BadData(message, location=path, hint=hint)
        text = re.sub(r"\s+", " ", IMAGE.sub("image", asked))
        id_ = number + (1_000_000 if split == "test" else 0)
        questions.append(Question(id_, int(numbers[-1]), text, split, (answer,), answer))
    return questions
