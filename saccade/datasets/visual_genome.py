"""Visual Genome's questions: `question_answers.json`, images listed in `image_data.json`.

Free-form questions with one answer each, written about regions of 108,077 images, about half of
them COCO's. There is no published split of the questions. Answers are kept as written, but for the
full stop at their end. Layout: visualgenome.org, versions 1.0 and 1.2 (Krishna et al. 2017).
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, by_name, folder_like
from saccade.data.reading import collector_paused, columns, read_entries, read_json, unique
from saccade.data.records import Collection, ImageRecord, Question
from saccade.data.splits import as_drawing

NAME = "question_answers.json"
FOLDERS = ("VG_100K", "VG_100K_2", "images", "images/VG_100K", "images/VG_100K_2", "")
FIELDS = {"qa_id": int, "image_id": int, "question": str, "answer": str}


def read(root: Path, images: str = "", **shares: Any) -> Collection:
    """Read `question_answers.json`, and `image_data.json` if it is there.

    `images` is the folder of the images (else `VG_100K/`, `VG_100K_2/`, `images/` and `root`).
    `val_share` and `test_share` of the images are drawn with `seed`, with all their questions.
    Images without questions are left out. Raises BadData for records of another form, and for
    questions about an image that `image_data.json` does not list.
    """
    drawing = as_drawing(**{"val_share": 0.05, "test_share": 0.0, **shares})
    home = folder_like(root, lambda folder: (folder / NAME).is_file()) or root
    path = home / NAME
    with collector_paused():
        ids, image_ids, texts, answers = _questions(path)
    unique(ids, path=path, name="qa_id")
    split_of, drawn = drawing.draw(image_ids)
    names, notes = _images(home / "image_data.json", set(image_ids))
    files = ImageFiles(root, images or None).beside(path)
    image_records = [
        ImageRecord(
            number, files.find(*names.get(number, [f"{number}.jpg"]), folders=FOLDERS), split
        )
        for number, split in split_of.items()
    ]
    questions = []
    answers_of: dict[str, tuple[str, ...]] = {}
    for number, image, text, given in zip(ids, image_ids, texts, answers, strict=True):
        answer = given.strip().rstrip(".").strip() or given.strip()
        if not answer:
            message = f"question {number} (image {image}) has an empty answer"
            raise BadData(message, location=path, hint="Give it one, or leave the record out.")
        same = answers_of.setdefault(answer, (answer,))
        questions.append(Question(number, image, text.strip(), split_of[image], same, same[0]))
    return Collection(
        source="visual-genome",
        image_root=str(files.root),
        images=image_records,
        questions=questions,
        notes=[drawn, *notes],
        edition="qa",
    )


recognise = by_name(re.escape(NAME))


def _questions(path: Path) -> list[list[Any]]:
    """A list for each of `FIELDS`; names and places of things go as soon as they are read."""
    table: list[list[Any]] = [[] for _ in FIELDS]
    for place, record in read_entries(path, list):
        own = record.get("qas") if isinstance(record, dict) else None
        if not isinstance(own, list):
            message = f'image number {place + 1} has no list "qas" of questions and answers'
            raise BadData(message, location=path, hint=f"Take the released {NAME}.")
        more = columns(own, FIELDS, path=path, name="question", before=len(table[0]))
        for column, values in zip(table, more, strict=True):
            column.extend(values)
    if not table[0]:
        raise BadData("has no question", location=path, hint="Copy it again from the release.")
    return table


def _images(path: Path, asked: set[int]) -> tuple[dict[int, list[str]], list[str]]:
    """Names of the images' files by number, with the folder that each was released in."""
    if not path.is_file():
        return {}, ["image_data.json is not there: images are looked for by their number."]
    records = read_json(path, list)
    first = records[0] if records and isinstance(records[0], dict) else {}
    name = "id" if "id" in first and "image_id" not in first else "image_id"  # of version 1.0
    ids, urls = columns(records, {name: int, "url": str}, path=path, name="image")
    unique(ids, path=path, name=name)
    if stray := asked - set(ids):
        message = f"does not list {len(stray)} images that are asked about"
        hint = "Take both files from the same version of the release."
        raise BadData(f"{message}, the first is {min(stray)}", location=path, hint=hint)
    of_images = zip(ids, urls, strict=True)
    names = {number: [f"{number}.jpg", PurePosixPath(url).name] for number, url in of_images}
    coco = sum(isinstance(r.get("coco_id"), int) for r in records if r[name] in asked)
    return names, [
        f"{coco} of {len(asked)} images are COCO's too (coco_id in image_data.json): mind that "
        "they may stand in another split there."
    ]
