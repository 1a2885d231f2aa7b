"""Question-answer text files, one per image: `question|answer` on each line.

The form of EndoVis-18-VQA, Cholec80-VQA (Seenivasan et al. 2022) and PitVQA (He et al. 2024). A
file is named after its image, and lies in the folder of its operation.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, folder_like, folder_with, names_in
from saccade.data.options import as_whole, one_of
from saccade.data.reading import is_text
from saccade.data.records import Collection, ImageRecord, Question, Split

FORMS = ("Classification", "Sentence")
"""Of EndoVis-18-VQA and Cholec80-VQA: short answers, or the same in sentences."""
NO_TEST = "The published split has no test part: its validation part is what is reported."


def named_files(folder: Path, pattern: str, after: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """The files of a folder in the order of their names, and how `pattern` matches each name.

    A folder that is not there has none, and hidden files are passed over. Raises BadData for a file
    of another name; `after` says what it should be named after, with an example ("its frame, as
    1200_QA.txt is").
    """
    for name in names_in(folder) if folder.is_dir() else ():
        match = re.fullmatch(pattern, name)
        if match is None:
            message = f"is not named after {after}"
            raise BadData(message, location=folder / name, hint="Rename it, or move it away.")
        yield folder / name, match


def read_questions(path: Path, image: int, split: Split) -> list[Question]:
    """The questions of a file, numbered 100 times the image's number and their line."""
    return [
        Question(image * 100 + line, image, asked, split, (answer,), answer)
        for line, asked, answer in read_question_lines(path)
    ]


def read_question_lines(path: Path) -> list[tuple[int, str, str]]:
    """Line number, question and answer of each line; an empty file has none.

    Blank lines are passed over. Raises BadData for a file that cannot be read, and for a line of
    another form.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise BadData(message, location=path, hint="Check its permissions.") from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: byte {error.start} does not fit"
        raise BadData(message, location=path, hint="Save it as UTF-8.") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        question, bar, answer = (part.strip() for part in line.partition("|"))
        if not bar or not question or not answer or "|" in answer or not is_text([line]):
            raise BadData(
                f"line {number} is not question|answer: {line[:50]!a}",
                location=path,
                hint="Mend or remove this line, or take the released file.",
            )
        pairs.append((number, question, answer))
    return pairs


# EndoVis-18-VQA: robotic kidney surgery, questions about organ, instruments, actions and places.

ENDOVIS_TRAIN = (2, 3, 4, 6, 7, 9, 10, 11, 12, 14, 15)
ENDOVIS_VAL = (1, 5, 16)
ENDOVIS_NAME = r"(frame(\d{1,4}))_.*\.txt"


def read_endovis18_vqa(root: Path, form: str = "Classification", images: str = "") -> Collection:
    """Read all `seq_N/` of the published split in `root` or a folder directly below it.

    `form` is "Classification" (short answers) or "Sentence" (the same in sentences); `images` is
    the folder that holds `seq_1/left_frames/` ... (else the same). An image's number is 10,000
    times its sequence and its frame, a question's 100 times that and its line. There is no test
    split. Raises BadData for files of another form.
    """
    form = one_of("form", form, FORMS)
    hint = "Check --root: EndoVis-18-VQA has seq_1/vqa/Classification/frame000_QA.txt ..."
    home = folder_with(root, _holds_endovis, "seq_N/vqa/ of EndoVis-18-VQA", hint)
    files = ImageFiles(root if images else home, images or None)
    image_records: list[ImageRecord] = []
    questions: list[Question] = []
    for sequence in sorted((*ENDOVIS_TRAIN, *ENDOVIS_VAL)):
        split: Split = "val" if sequence in ENDOVIS_VAL else "train"
        places = (f"seq_{sequence}/left_frames", f"seq_{sequence}/left_fr", f"seq_{sequence}")
        folder = home / f"seq_{sequence}/vqa/{form}"
        for path, match in named_files(folder, ENDOVIS_NAME, "its frame, as frame042_QA.txt is"):
            number = sequence * 10_000 + int(match[2])
            file = files.find(places, [f"{match[1]}.png"])
            image_records.append(ImageRecord(number, file, split))
            questions += read_questions(path, number, split)
    if not questions:
        message = f"has no question in any seq_N/vqa/{form}/"
        raise BadData(message, location=home, hint="Copy it again from the release.")
    records = image_records, questions
    return Collection("endovis18-vqa", str(files.root), *records, notes=[NO_TEST], edition=form)


def recognise_endovis18_vqa(root: Path) -> str | None:
    """`seq_N/vqa/Classification/`."""
    home = folder_like(root, _holds_endovis)
    return f"there is seq_N/vqa/ with question|answer files in {home.name}" if home else None


def _holds_endovis(folder: Path) -> bool:
    return any(
        (folder / f"seq_{sequence}/vqa/{form}").is_dir()
        for sequence in (*ENDOVIS_TRAIN, *ENDOVIS_VAL)
        for form in FORMS
    )


# Cholec80-VQA: gall bladder operations, questions about phase and instruments.

CHOLEC_VAL = (5, 11, 12, 17, 19, 26, 27, 31)
VIDEOS = range(1, 41)
CHOLEC_NAME = r"(\d{1,6})_.*\.txt"
IMAGES = ("cropped_image/", "cropped_images/", "images/", "")
"""Before an operation's number; the release's code and its description differ in the first two."""


def read_cholec80_vqa(
    root: Path, form: str = "Classification", every: str | int = 100, images: str = ""
) -> Collection:
    """Read the 40 operations in `root` or a folder directly below it.

    `form` is "Classification" (short answers) or "Sentence"; frames whose number `every` does not
    divide are left out, as published (1 keeps all); `images` is the folder that holds
    `cropped_image/1/` ... or `1/` ... (else the same). An image's number is 1,000,000 times its
    operation and its frame, a question's 100 times that and its line. There is no test split.
    Raises BadData for files of another form.
    """
    step = as_whole("every", every, least=1)
    form = one_of("form", form, FORMS)
    hint = "Check --root: Cholec80-VQA has Classification/1/0_QA.txt ..."
    home = folder_with(root, _holds_cholec, "Classification/1/ of Cholec80-VQA", hint)
    files = ImageFiles(root if images else home, images or None)
    image_records: list[ImageRecord] = []
    questions: list[Question] = []
    left_out = 0
    for video in VIDEOS:
        split: Split = "val" if video in CHOLEC_VAL else "train"
        places = [f"{folder}{video}" for folder in IMAGES]
        folder = home / form / str(video)
        for path, match in named_files(folder, CHOLEC_NAME, "its frame, as 1200_QA.txt is"):
            if int(match[1]) % step:
                left_out += 1
                continue
            number = video * 1_000_000 + int(match[1])
            file = files.find(places, [f"{match[1]}.png"])
            image_records.append(ImageRecord(number, file, split))
            questions += read_questions(path, number, split)
    if not questions:
        message = f"has no question in {form}/1 to {form}/40 (of frames that {step} divides)"
        hint = "Check --option every=, or copy it again from the release."
        raise BadData(message, location=home, hint=hint)
    notes = [NO_TEST]
    if left_out:
        notes.append(f"{left_out} frames were left out: {step} does not divide their number.")
    return Collection("cholec80-vqa", str(files.root), image_records, questions, notes=notes)


def recognise_cholec80_vqa(root: Path) -> str | None:
    """`Classification/1/` with files named after frames."""
    home = folder_like(root, _holds_cholec)
    return f"there is Classification/ with a folder an operation in {home.name}" if home else None


def _holds_cholec(folder: Path) -> bool:
    return any((folder / form / str(video)).is_dir() for form in FORMS for video in VIDEOS)
