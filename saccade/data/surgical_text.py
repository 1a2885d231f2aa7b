"""Question-answer text files, one per picture: `question|answer` on each line.

The form of EndoVis-18-VQA, Cholec80-VQA (Seenivasan et al. 2022) and PitVQA (He et al. 2024).
"""

from pathlib import Path

from saccade.data.json_file import is_text
from saccade.errors import BadData


def read_pairs(path: Path) -> list[tuple[int, str, str]]:
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
