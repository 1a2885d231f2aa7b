"""PitVQA: 25 pituitary operations, a frame a second, questions about step, instruments and place.

Either the released text files, `QA/video_01/00042.txt` with `question|answer` lines, or the public
annotations from which these were made (`steps_csv/`, `instruments_csv/`); both give the same
records. Frames are `images/video_01/00042.png`; `saccade frames` makes them from the videos.
Layout and split: He et al. 2024.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import PictureFiles, folder_like, names_in
from saccade.data.pitvqa_questions import CLASSES, NO_ANSWER, Line, category_of, seconds_of
from saccade.data.records import Collection, Picture, Question, Split
from saccade.data.surgical_text import named_files, read_question_lines

VAL = (2, 6, 12, 13, 24)
"""The operations of the validation split; the other 20 are for training. There is no test split."""
VIDEOS = range(1, 26)
FROM = ("text", "annotations")

Second = tuple[int, int, list[tuple[int, Line]]]
"""Operation, second, and the lines asked there with their place in the file, from 0."""


def read(root: Path, origin: str = "", images: str = "", all_answers: str = "no") -> Collection:
    """Read `QA/`, or `steps_csv/` and `instruments_csv/`, in `root` or a folder directly below it.

    `origin` ("text" or "annotations") chooses where both are there (else the text); `images` is
    the folder that holds `video_01/` ... (else `images/` and `root`). `all_answers=yes` keeps the
    answers no_visible_instrument and no_secondary_instrument, which the published loader leaves
    out. A picture's number is 100,000 times its operation and its second, a question's 100 times
    that and its line. Raises BadData for files of another form, BadConfig for other words.
    """
    if origin not in ("", *FROM):
        cure = f"Give one of: {', '.join(FROM)}."
        raise BadConfig(f"--option origin={origin} is not known", cure=cure)
    if all_answers not in ("yes", "no"):
        raise BadConfig(f"--option all_answers={all_answers} is not known", cure="Give yes or no.")
    text, annotations = folder_like(root, _has_text), folder_like(root, _has_annotations)
    if origin == "annotations" or (text is None and origin == ""):
        home, seconds = annotations, _from_annotations
    else:
        home, seconds = text, _from_text
    if home is None:
        wanted = "QA/video_01/00000.txt" if seconds is _from_text else "QA/, nor steps_csv/"
        cure = "Check --root: it holds QA/, or steps_csv/ and instruments_csv/."
        raise BadData(f"holds no {wanted} of PitVQA", where=root, cure=cure)
    files = PictureFiles(root if images else home, images or None)
    pictures: list[Picture] = []
    questions: list[Question] = []
    left_out = 0
    for video, second, lines in seconds(home):
        split: Split = "val" if video in VAL else "train"
        folder, number = f"video_{video:02}", video * 100_000 + second
        file = files.find((f"images/{folder}", folder), [f"{second:05}.png"])
        pictures.append(Picture(number, file, split))
        for place, (asked, answer, category) in lines:
            if answer in NO_ANSWER and all_answers == "no":
                left_out += 1
                continue
            id_ = number * 100 + place
            questions.append(Question(id_, number, asked, split, (answer,), answer, "", category))
    return Collection(
        source="pitvqa",
        image_root=str(files.root),
        pictures=pictures,
        questions=questions,
        notes=_notes(questions, left_out, made=seconds is _from_annotations),
        edition="" if all_answers == "yes" else "published",
    )


def recognise(root: Path) -> str | None:
    """`QA/video_01/`, or both folders of annotations."""
    if home := folder_like(root, _has_text):
        return f"there are question|answer files in {home.name}/QA/video_01/"
    home = folder_like(root, _has_annotations)
    return f"there are steps_csv/ and instruments_csv/ in {home.name}" if home else None


def _has_text(folder: Path) -> bool:
    return any((folder / "QA" / f"video_{video:02}").is_dir() for video in VIDEOS)


def _has_annotations(folder: Path) -> bool:
    return (folder / "steps_csv").is_dir() and (folder / "instruments_csv").is_dir()


def _notes(questions: list[Question], left_out: int, *, made: bool) -> list[str]:
    notes = ["The published validation split chose the model and was reported; there is no test."]
    if made:
        notes.append("Questions and answers were made from the steps and instruments.")
    if left_out:
        answers = " or ".join(sorted(NO_ANSWER))
        notes.append(
            f"{left_out} questions were left out, as published: their answer is {answers}."
        )
    others = {question.best_answer for question in questions} - {*CLASSES, *NO_ANSWER}
    if others:
        notes.append(
            f"{len(others)} answers are not among the 59 published ones: {min(others)[:40]!a} ..."
        )
    return notes


def _from_text(home: Path) -> Iterator[Second]:
    for folder in (home / "QA" / name for name in names_in(home / "QA")):
        match = re.fullmatch(r"video_(\d\d)", folder.name)
        if match is None or int(match[1]) not in VIDEOS:
            what = "is no operation of PitVQA: these are video_01 to video_25"
            raise BadData(what, where=folder, cure="Move it away.")
        video = int(match[1])
        for path, name in named_files(folder, r"(\d{5})\.txt", "its second, as 00042.txt is"):
            lines = [
                (place, Line(asked, answer, category_of(asked)))
                for place, (_, asked, answer) in enumerate(read_question_lines(path))
            ]
            if lines:  # an empty file is a frame that nothing is asked about
                yield video, int(name[1]), lines


def _from_annotations(home: Path) -> Iterator[Second]:
    found = False
    for video in VIDEOS:
        steps = home / f"steps_csv/steps_{video:02}.csv"
        instruments = home / f"instruments_csv/instruments_{video:02}.csv"
        if steps.is_file() != instruments.is_file():
            lone, lost = (steps, instruments) if steps.is_file() else (instruments, steps)
            cure = f"Put {lost.name} into {lost.parent.name}/."
            raise BadData(f"is there, but {lost.name} is not", where=lone, cure=cure)
        if not steps.is_file():
            continue
        found = True
        for second, lines in seconds_of(steps, instruments):
            yield video, second, list(enumerate(lines))
    if not found:
        cure = "Take PitVQA's published annotations: steps_csv/steps_01.csv ..."
        raise BadData("has no steps_01.csv to steps_25.csv", where=home / "steps_csv", cure=cure)
