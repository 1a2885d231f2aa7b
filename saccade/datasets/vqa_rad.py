"""VQA-RAD: 315 radiology images with questions that clinicians asked and answered.

Every question has one answer, open or closed. The published split divides questions, not images:
most test images are training images too. Source: Lau et al. 2018; files as in the widely used
`trainset.json` and `testset.json`, or the makers' own `VQA_RAD Dataset Public.json`, of which those
two were made: its `phrase_type` says which questions are for testing, and every `question_frame`
(the question put into a fixed form) is one more training question, that of a test question too.
Numbers count all of these in the file's order.
"""

from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, files_like, first_reason, folder_like
from saccade.data.reading import COPY_AGAIN, columns, is_text, read_json, unique
from saccade.data.records import Collection, ImageRecord, Question, Split
from saccade.data.splits import as_drawing

FIELDS = {"image_name": str, "question": str, "answer_type": str, "question_type": str}
FOLDERS = ("images", "VQA_RAD Image Folder", "VQA_RAD_Image_Folder", "")
MAKERS = r"VQA_RAD[ _]Dataset[ _]Public\.json"
SPLIT_OF: dict[str, Split] = {
    **dict.fromkeys(("freeform", "para"), "train"),
    **dict.fromkeys(("test_freeform", "test_para"), "test"),
}
"""By `phrase_type`: asked freely, or a paraphrase."""

Row = tuple[str, Question]
"""Name of an image, and a question about it whose `image_id` is still open."""


def read(
    root: Path, val_share: str | float = 0.2, seed: str | int = 0, images: str = ""
) -> Collection:
    """Read `trainset.json` and `testset.json`, or else the makers' file, or `trainset.json` alone.

    There is no official validation split: `val_share` (0 to below 1) of the training IMAGES,
    drawn with `seed`, become one, with all their questions; so no image is in both. Answers
    lose blanks at their ends and numbers become text; nothing else is changed. Each question has
    the one released answer. `images` is the folder of the images (else `images/`, or that of the
    makers). Raises BadData for records of another form.
    """
    drawing = as_drawing(val_share, 0, seed)
    makers = files_like(root, MAKERS)
    home = folder_like(root, _holds) or root
    train_file, test_file = home / "trainset.json", home / "testset.json"
    notes: list[str] = []
    if makers and not (train_file.is_file() and test_file.is_file()):
        text = makers[0]
        train, test, notes = _of_makers(text)
    else:
        text = train_file
        train = _of_one_split(train_file, "train")
        test = _of_one_split(test_file, "test") if test_file.is_file() else []
    held_out, note = drawing.draw_validation(name for name, _ in train)
    rows = [(n, q._replace(split="val") if n in held_out else q) for n, q in train] + test
    number_of = {n: place for place, n in enumerate(sorted({n for n, _ in rows}))}
    files = ImageFiles(root, images or None).beside(text)
    image_records = {
        (number_of[n], q.split): ImageRecord(number_of[n], files.find(n, folders=FOLDERS), q.split)
        for n, q in rows
    }
    notes.append(note)
    if not test:
        notes.append("testset.json, or the makers' file, is not there: no test split.")
    return Collection(
        source="vqa-rad",
        image_root=str(files.root),
        images=[image_records[key] for key in sorted(image_records)],
        questions=[q._replace(image_id=number_of[n]) for n, q in rows],
        notes=notes,
        shared_images=True,
        edition="official",
    )


def recognise(root: Path) -> str | None:
    """The makers' file, or `trainset.json` whose first record has a qid and an image_name."""
    if makers := first_reason(root, MAKERS):
        return makers
    if home := folder_like(root, _holds):
        shown = (home / "trainset.json").relative_to(root).as_posix()
        return f"there is {shown} with the fields qid and image_name"
    return None


def _holds(folder: Path) -> bool:
    path = folder / "trainset.json"
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return b'"qid"' in head and b'"image_name"' in head


def _of_one_split(path: Path, split: Split) -> list[Row]:
    """The records of `trainset.json` or `testset.json`."""
    records, rows = _read(path)
    (ids,) = columns(records, {"qid": int}, path=path, name="record")
    unique(ids, path=path, name="qid")
    return [
        (name, question._replace(id=id_, split=split))
        for id_, (name, question) in zip(ids, rows, strict=True)
    ]


def _of_makers(path: Path) -> tuple[list[Row], list[Row], list[str]]:
    """Training and test questions of the makers' file, and the notes about them."""
    records, rows = _read(path)
    (phrases,) = columns(records, {"phrase_type": str}, path=path, name="record")
    unique([str(record.get("qid")) for record in records], path=path, name="qid")
    parts: dict[Split, list[Row]] = {"train": [], "test": []}
    number = framed = of_test = 0
    for place, (name, question) in enumerate(rows):
        if (split := SPLIT_OF.get(phrases[place])) is None:
            message = f'"phrase_type" of record {place + 1} is {phrases[place][:30]!a}'
            hint = f"Known are: {', '.join(SPLIT_OF)}. Take the released file."
            raise BadData(message, location=path, hint=hint)
        number += 1
        parts[split].append((name, question._replace(id=number, split=split)))
        frame = records[place].get("question_frame") or ""
        if not is_text([frame]):
            message = f'"question_frame" of record {place + 1} is {ascii(frame)[:40]}, not text'
            raise BadData(message, location=path, hint='Write "NULL" where there is none.')
        if (text := frame.strip()).upper() not in ("", "NULL"):
            number, framed, of_test = number + 1, framed + 1, of_test + (split == "test")
            parts["train"].append((name, question._replace(id=number, text=text)))
    others = f"{framed} training questions are others once more, put into a fixed form"
    note = f"{others} (question_frame), {of_test} of them test questions, as is widely used."
    return parts["train"], parts["test"], [note] if framed else []


def _read(path: Path) -> tuple[list[Any], list[Row]]:
    """The records, and each as a training question; its number is still open, too."""
    records = read_json(path, list)
    if not records:
        raise BadData("is an empty list", location=path, hint=COPY_AGAIN)
    table = columns(records, FIELDS, path=path, name="record")
    rows = []
    for place, (name, text, answer_type, question_type) in enumerate(zip(*table, strict=True)):
        given = records[place].get("answer")
        answer = str(given).strip() if type(given) in (str, int, float) else ""
        if not answer:
            shown = f"record {place + 1} (qid {records[place].get('qid')})"
            hint = "Give it an answer, or leave the record out."
            raise BadData(f"the answer of {shown} is {ascii(given)[:40]}", location=path, hint=hint)
        kinds = answer_type.strip(), question_type.strip()
        rows.append((name, Question(-1, -1, text.strip(), "train", (answer,), answer, *kinds)))
    return records, rows
