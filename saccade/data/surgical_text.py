"""Question-answer text files, one per picture: `question|answer` on each line.

The form of EndoVis-18-VQA, Cholec80-VQA (Seenivasan et al. 2022) and PitVQA (He et al. 2024). A
file is named after its picture, and lies in the folder of its operation.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from saccade.core.errors import BadConfig, BadData
from saccade.data.find_files import names_in
from saccade.data.reading import is_text
from saccade.data.records import Question, Split

FORMS = ("Classification", "Sentence")
"""Of EndoVis-18-VQA and Cholec80-VQA: short answers, or the same in sentences."""
NO_TEST = "The published split has no test part: its validation part is what is reported."


def as_form(form: str) -> str:
    """One of `FORMS`. Raises BadConfig for another word."""
    if form not in FORMS:
        cure = f"Give one of: {', '.join(FORMS)}."
        raise BadConfig(f"--option form={form} is not known", cure=cure)
    return form


def named_files(folder: Path, pattern: str, after: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """The files of a folder in the order of their names, and how `pattern` matches each name.

    A folder that is not there has none, and hidden files are passed over. Raises BadData for a file
    of another name; `after` says what it should be named after, with an example ("its frame, as
    1200_QA.txt is").
    """
    for name in names_in(folder) if folder.is_dir() else ():
        match = re.fullmatch(pattern, name)
        if match is None:
            what = f"is not named after {after}"
            raise BadData(what, where=folder / name, cure="Rename it, or move it away.")
        yield folder / name, match


def read_questions(path: Path, picture: int, split: Split) -> list[Question]:
    """The questions of a file, numbered 100 times the picture's number and their line."""
    return [
        Question(picture * 100 + line, picture, asked, split, (answer,), answer)
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
        what = f"cannot be read ({error.strerror})"
        raise BadData(what, where=path, cure="Check its permissions.") from None
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text: byte {error.start} does not fit"
        raise BadData(what, where=path, cure="Save it as UTF-8.") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        question, bar, answer = (part.strip() for part in line.partition("|"))
        if not bar or not question or not answer or "|" in answer or not is_text([line]):
            raise BadData(
                f"line {number} is not question|answer: {line[:50]!a}",
                where=path,
                cure="Mend or remove this line, or take the released file.",
            )
        pairs.append((number, question, answer))
    return pairs
