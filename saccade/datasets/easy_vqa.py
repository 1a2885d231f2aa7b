"""easy-VQA: 5,000 drawn shapes, simple questions, 13 answers; a first set to try a program on.

`train/questions.json` and `test/questions.json` are lists of [question, answer, image number],
images are `train/images/0.png`, answers stand in `answers.txt`. Layout: Victor Zhou 2019.
"""

from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, folder_like, folder_with
from saccade.data.reading import is_text, read_json, read_lines
from saccade.data.records import Collection, ImageRecord, Question, Split
from saccade.data.splits import as_drawing

PARTS: tuple[Split, ...] = ("train", "test")
TEST_NUMBERS = 1_000_000
"""Added to the numbers of test images and test questions: both parts count from 0."""


def read(
    root: Path, images: str = "", val_share: str | float = 0.1, seed: str | int = 0
) -> Collection:
    """Read `{train,test}/questions.json` and `answers.txt` in `root` or a folder below it.

    There is no published validation split: `val_share` of the training images, drawn with
    `seed`, become one. `images` is a folder of images laid out likewise (`train/images/0.png`
    or `train/0.png`). Raises BadData for records of another form, and for an answer that
    is not in `answers.txt`.
    """
    drawing = as_drawing(val_share, 0, seed)
    hint = "Check --root: easy-VQA's data folder holds train/, test/ and answers.txt."
    home = folder_with(root, _holds, "train/questions.json of easy-VQA", hint)
    files = ImageFiles(home, images or None)
    known = {line.strip() for line in read_lines(home / "answers.txt")} - {""}
    image_records: list[ImageRecord] = []
    questions: list[Question] = []
    notes = []
    for part in PARTS:
        path = home / part / "questions.json"
        if part == "test" and not path.is_file():
            notes.append("test/questions.json is not there: no test split.")
            continue
        rows = _rows(path, known)
        split_of: dict[int, Split] = {image: part for _, _, image in rows}
        if part == "train":
            held_out, note = drawing.draw_validation(split_of)
            split_of |= dict.fromkeys(held_out, "val")
            notes.append(note)
        more = TEST_NUMBERS if part == "test" else 0
        folders = (f"{part}/images", part)
        for image, split in split_of.items():
            file = files.find(f"{image}.png", folders=folders)
            image_records.append(ImageRecord(image + more, file, split))
        for number, (text, answer, image) in enumerate(rows):
            split = split_of[image]
            questions.append(Question(number + more, image + more, text, split, (answer,), answer))
    return Collection(
        "easy-vqa", str(files.root), image_records, questions, notes=notes, edition="all"
    )


def recognise(root: Path) -> str | None:
    """`train/questions.json` beside `answers.txt`."""
    home = folder_like(root, _holds)
    return f"there are train/questions.json and answers.txt in {home.name}" if home else None


def _holds(folder: Path) -> bool:
    return (folder / "train/questions.json").is_file() and (folder / "answers.txt").is_file()


def _rows(path: Path, known: set[str]) -> list[tuple[str, str, int]]:
    rows = []
    for place, row in enumerate(read_json(path, list), start=1):
        match row:
            case [str(text), str(answer), int(image)] if (
                image in range(TEST_NUMBERS) and type(image) is int and is_text([text, answer])
            ):
                rows.append((text, answer, image))
            case _:
                shown = f"{ascii(row)[:60]}, not [question, answer, image number]"
                hint = "Take the released questions.json, or mend this record."
                raise BadData(f"record {place} is {shown}", location=path, hint=hint)
        if answer not in known:
            message = f"record {place} has the answer {answer[:30]!a}, which answers.txt lacks"
            raise BadData(message, location=path, hint="Take all files from the same release.")
    if not rows:
        raise BadData("is an empty list", location=path, hint="Copy it again from the release.")
    return rows
