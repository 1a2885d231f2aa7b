"""Question-answer text files, one per image: `question|answer` on each line.

The form of EndoVis-18-VQA, Cholec80-VQA (Seenivasan et al. 2022) and PitVQA (He et al. 2024). A
file is named after its image, and lies in the folder of its operation.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, folder_like, folder_with, names_in
from saccade.data.options import as_whole, one_of
from saccade.data.reading import RELEASED, is_text, read_text
from saccade.data.records import Collection, ImageRecord, Question, Split

FORMS = ("Classification", "Sentence")
"""Of EndoVis-18-VQA and Cholec80-VQA: short answers, or the same in sentences."""


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


def read_question_lines(path: Path) -> list[tuple[int, str, str]]:
    """Line number, question and answer of each line; an empty file has none.

    Blank lines are passed over. Raises BadData for a file that cannot be read, and for a line of
    another form.
    """
    pairs = []
    for number, line in enumerate(read_text(path, may_be_empty=True).splitlines(), start=1):
        if not line.strip():
            continue
        question, bar, answer = (part.strip() for part in line.partition("|"))
        if not bar or not question or not answer or "|" in answer or not is_text([line]):
            message = f"line {number} is not question|answer: {line[:50]!a}"
            raise BadData(message, location=path, hint=RELEASED)
        pairs.append((number, question, answer))
    return pairs


class Release(NamedTuple):
    """EndoVis-18-VQA or Cholec80-VQA as it was published."""

    source: str
    operations: Sequence[int]
    validation: Sequence[int]
    """Those of the validation split; the others are for training, and none for testing."""
    texts: str
    """Folder of an operation's text files, below the root."""
    images: Sequence[str]
    """Folders where an operation's images may lie."""
    file: str
    """Pattern of a text file's name: the image's name in it, and the frame's number in that."""
    example: str
    """Such a name."""
    times: int
    """An image's number is this many times its operation, and its frame."""

    def lies_in(self, home: Path) -> bool:
        """True where one of the operations has a folder of text files below `home`."""
        every = ((number, form) for number in self.operations for form in FORMS)
        return any((home / self.texts.format(*folder)).is_dir() for folder in every)

    def recognise(self, root: Path) -> str | None:
        """By what this set is known in `root` or a folder directly below it."""
        home = folder_like(root, self.lies_in)
        return f"there is {self.texts.format('N', FORMS[0])}/ in {home.name}" if home else None

    def read(self, root: Path, form: str, images: str, every: int = 1) -> Collection:
        """The frames whose number `every` divides, and their questions."""
        form = one_of("form", form, FORMS)
        first = f"{self.texts.format(self.operations[0], FORMS[0])}/{self.example}"
        hint = f"Check --root: {self.source} has {first} ..."
        home = folder_with(root, self.lies_in, f"{first} of {self.source}", hint)
        files = ImageFiles(root if images else home, images or None)
        image_records: list[ImageRecord] = []
        questions: list[Question] = []
        left_out = 0
        for operation in self.operations:
            split: Split = "val" if operation in self.validation else "train"
            places = [place.format(operation) for place in self.images]
            folder = home / self.texts.format(operation, form)
            for path, match in named_files(folder, self.file, f"its frame, as {self.example} is"):
                frame = int(match[2])
                if frame % every:
                    left_out += 1
                    continue
                number = operation * self.times + frame
                file = files.find(f"{match[1]}.png", folders=places)
                image_records.append(ImageRecord(number, file, split))
                questions += (
                    Question(number * 100 + line, number, asked, split, (answer,), answer)
                    for line, asked, answer in read_question_lines(path)
                )
        if not questions:
            ends = (self.texts.format(self.operations[place], form) for place in (0, -1))
            hint = f"{'Check --option every=. ' if left_out else ''}Copy it again from the release."
            raise BadData(f"has no question in {' to '.join(ends)}", location=home, hint=hint)
        notes = ["The published split has no test part: its validation part is what is reported."]
        if left_out:
            notes.append(f"{left_out} frames were left out: {every} does not divide their number.")
        records = str(files.root), image_records, questions
        return Collection(self.source, *records, notes=notes, edition=form)


ENDOVIS18 = Release(  # robotic kidney surgery: organ, instruments, actions and places
    source="endovis18-vqa",
    operations=(1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16),
    validation=(1, 5, 16),
    texts="seq_{}/vqa/{}",
    images=("seq_{}/left_frames", "seq_{}/left_fr", "seq_{}"),
    file=r"(frame(\d{1,4}))_.*\.txt",
    example="frame042_QA.txt",
    times=10_000,
)
CHOLEC80 = Release(  # gall bladder operations: phase and instruments
    source="cholec80-vqa",
    operations=range(1, 41),
    validation=(5, 11, 12, 17, 19, 26, 27, 31),
    texts="{1}/{0}",
    # The release's code and its description differ in the first two.
    images=("cropped_image/{}", "cropped_images/{}", "images/{}", "{}"),
    file=r"((\d{1,6}))_.*\.txt",
    example="1200_QA.txt",
    times=1_000_000,
)
recognise_endovis18_vqa, recognise_cholec80_vqa = ENDOVIS18.recognise, CHOLEC80.recognise


def read_endovis18_vqa(root: Path, form: str = "Classification", images: str = "") -> Collection:
    """Read all `seq_N/` of the published split in `root` or a folder directly below it.

    `form` is "Classification" (short answers) or "Sentence" (the same in sentences); `images` is
    the folder that holds `seq_1/left_frames/` ... (else the same). An image's number is 10,000
    times its sequence and its frame, a question's 100 times that and its line. There is no test
    split. Raises BadData for files of another form.
    """
    return ENDOVIS18.read(root, form, images)


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
    return CHOLEC80.read(root, form, images, as_whole("every", every, least=1))
