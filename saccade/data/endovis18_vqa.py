"""EndoVis-18-VQA: robotic kidney surgery, questions about organ, instruments, actions and places.

`seq_N/vqa/Classification/frameNNN_QA.txt` holds `question|answer` lines about the picture
`seq_N/left_frames/frameNNN.png` (some copies say `left_fr/`). Layout and split: Seenivasan et al.
2022 (Surgical-VQA), pictures of the EndoVis challenge of 2018.
"""

from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import PictureFiles, folder_like
from saccade.data.records import Collection, Picture, Question, Split
from saccade.data.surgical_text import FORMS, NO_TEST, as_form, named_files, read_questions

TRAIN = (2, 3, 4, 6, 7, 9, 10, 11, 12, 14, 15)
VAL = (1, 5, 16)
NAME = r"(frame(\d{1,4}))_.*\.txt"


def read(root: Path, form: str = "Classification", images: str = "") -> Collection:
    """Read all `seq_N/` of the published split in `root` or a folder directly below it.

    `form` is "Classification" (short answers) or "Sentence" (the same in sentences); `images` is
    the folder that holds `seq_1/left_frames/` ... (else the same). A picture's number is 10,000
    times its sequence and its frame, a question's 100 times that and its line. There is no test
    split. Raises BadData for files of another form.
    """
    form = as_form(form)
    home = folder_like(root, _holds)
    if home is None:
        cure = "Check --root: EndoVis-18-VQA has seq_1/vqa/Classification/frame000_QA.txt ..."
        raise BadData("holds no seq_N/vqa/ of EndoVis-18-VQA", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    pictures: list[Picture] = []
    questions: list[Question] = []
    for sequence in sorted((*TRAIN, *VAL)):
        split: Split = "val" if sequence in VAL else "train"
        places = (f"seq_{sequence}/left_frames", f"seq_{sequence}/left_fr", f"seq_{sequence}")
        folder = home / f"seq_{sequence}/vqa/{form}"
        for path, match in named_files(folder, NAME, "its frame, as frame042_QA.txt is"):
            number = sequence * 10_000 + int(match[2])
            pictures.append(Picture(number, files.find(places, [f"{match[1]}.png"]), split))
            questions += read_questions(path, number, split)
    if not questions:
        what = f"has no question in any seq_N/vqa/{form}/"
        raise BadData(what, where=home, cure="Copy it again from the release.")
    return Collection(
        source="endovis18-vqa",
        image_root=str(files.root),
        pictures=pictures,
        questions=questions,
        notes=[NO_TEST],
        edition=form,
    )


def recognise(root: Path) -> str | None:
    """`seq_N/vqa/Classification/`."""
    home = folder_like(root, _holds)
    return f"there is seq_N/vqa/ with question|answer files in {home.name}" if home else None


def _holds(folder: Path) -> bool:
    return any(
        (folder / f"seq_{sequence}/vqa/{form}").is_dir()
        for sequence in (*TRAIN, *VAL)
        for form in FORMS
    )
