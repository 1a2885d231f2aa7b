"""Cholec80-VQA: gall bladder operations, questions about phase and instruments.

`Classification/VIDEO/FRAME_QA.txt` holds `question|answer` lines about the picture
`cropped_image/VIDEO/FRAME.png`. Layout and split: Seenivasan et al. 2022 (Surgical-VQA), whose
program uses every hundredth frame; pictures of Cholec80 (Twinanda et al. 2016).
"""

from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import PictureFiles, folder_like
from saccade.data.records import Collection, Picture, Question, Split
from saccade.data.splits import as_whole
from saccade.data.surgical_text import FORMS, NO_TEST, as_form, named_files, read_questions

VAL = (5, 11, 12, 17, 19, 26, 27, 31)
VIDEOS = range(1, 41)
NAME = r"(\d{1,6})_.*\.txt"
PICTURES = ("cropped_image/", "cropped_images/", "images/", "")
"""Before an operation's number; the release's code and its description differ in the first two."""


def read(
    root: Path, form: str = "Classification", every: str | int = 100, images: str = ""
) -> Collection:
    """Read the 40 operations in `root` or a folder directly below it.

    `form` is "Classification" (short answers) or "Sentence"; frames whose number `every` does not
    divide are left out, as published (1 keeps all); `images` is the folder that holds
    `cropped_image/1/` ... or `1/` ... (else the same). A picture's number is 1,000,000 times its
    operation and its frame, a question's 100 times that and its line. There is no test split.
    Raises BadData for files of another form.
    """
    step = as_whole("every", every, least=1)
    form = as_form(form)
    home = folder_like(root, _holds)
    if home is None:
        cure = "Check --root: Cholec80-VQA has Classification/1/0_QA.txt ..."
        raise BadData("holds no Classification/1/ of Cholec80-VQA", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    pictures: list[Picture] = []
    questions: list[Question] = []
    left_out = 0
    for video in VIDEOS:
        split: Split = "val" if video in VAL else "train"
        places = [f"{folder}{video}" for folder in PICTURES]
        folder = home / form / str(video)
        for path, match in named_files(folder, NAME, "its frame, as 1200_QA.txt is"):
            if int(match[1]) % step:
                left_out += 1
                continue
            number = video * 1_000_000 + int(match[1])
            pictures.append(Picture(number, files.find(places, [f"{match[1]}.png"]), split))
            questions += read_questions(path, number, split)
    if not questions:
        what = f"has no question in {form}/1 to {form}/40 (of frames that {step} divides)"
        cure = "Check --option every=, or copy it again from the release."
        raise BadData(what, where=home, cure=cure)
    notes = [NO_TEST]
    if left_out:
        notes.append(f"{left_out} frames were left out: {step} does not divide their number.")
    return Collection("cholec80-vqa", str(files.root), pictures, questions, notes=notes)


def recognise(root: Path) -> str | None:
    """`Classification/1/` with files named after frames."""
    home = folder_like(root, _holds)
    return (
        f"there is Classification/ with a folder for each operation in {home.name}"
        if home
        else None
    )


def _holds(folder: Path) -> bool:
    return any((folder / form / str(video)).is_dir() for form in FORMS for video in VIDEOS)
