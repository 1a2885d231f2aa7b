"""Which column of somebody's own data is what: told by its name, whoever wrote it.

`Image`, ` image ` and `image-path` are as good as `image` and `image_path`. Nothing is guessed
from what stands in a column.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from saccade.core.errors import BadConfig, BadData

Names = Mapping[str, tuple[str, ...]]

COLUMNS: Names = MappingProxyType(
    {
        "image": ("image", "image_path", "image_file", "file_name", "filename", "file", "path"),
        "question": ("question",),
        "answer": ("answers", "answer"),
        "caption": ("captions", "caption"),
        "split": ("split",),
        "answer_type": ("answer_type",),
        "question_type": ("question_type",),
    }
)
"""What a row may say, and the column names that are taken for it, the first one that is there."""


def columns_of(
    names: Sequence[str], given: str, where: Path, usual: Names = COLUMNS
) -> dict[str, str]:
    """The column for each of `usual` that is there.

    `given` is what the user says about columns of other names: "image:photo,question:frage".
    A column of the very name comes before one that is written otherwise ("Answer", " answer").
    Raises BadConfig where that is no such list, names a column that is not there, or two columns
    have the same name; BadData where there is no column of pictures, or neither questions nor
    captions.
    """
    chosen: dict[str, str] = {}
    for part in filter(None, given.split(",")):
        what, colon, name = (word.strip() for word in part.partition(":"))
        if not colon or what not in usual:
            raise BadConfig(
                f"--option columns={given} is not a list like image:photo,question:frage",
                cure=f"Before a colon stands one of: {', '.join(usual)}.",
            )
        found = _column(what, (name,), names, where)
        if found is None:
            what = f"has no column {name!r}; it has {_listed(names)}"
            cure = "Mend --option columns=..."
            raise BadConfig(what, where=where, cure=cure)
        chosen[what] = found
    for what, known in usual.items():
        if what not in chosen and (found := _column(what, known, names, where)) is not None:
            chosen[what] = found
    if "image" not in chosen or not {"question", "caption"} & chosen.keys():
        lacks = "pictures (image)" if "image" not in chosen else "questions or captions"
        raise BadData(
            f"has no column of {lacks}; it has {_listed(names)}",
            where=where,
            cure="Name the columns image, question, answer, caption, or say which they are: "
            "--option columns=image:photo,question:frage.",
        )
    return chosen


def fits(names: Sequence[str], usual: Names = COLUMNS, given: str = "") -> bool:
    """Say whether columns of these names can be read, with what the user says of them in `given`
    (as in `columns_of`), or without any word.
    """
    if given:
        try:
            return bool(columns_of(names, given, Path(), usual))
        except (BadConfig, BadData):
            return False
    has = known_among(names, usual).keys()
    return "image" in has and bool({"question", "caption"} & has)


def known_among(names: Sequence[str], usual: Names = COLUMNS) -> dict[str, str]:
    """What can be told of these columns, and the first column for it."""
    plain = {_plain(name): name for name in reversed(names)}
    return {
        what: next(plain[name] for name in known if name in plain)
        for what, known in usual.items()
        if plain.keys() & set(known)
    }


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _column(what: str, known: Sequence[str], names: Sequence[str], where: Path) -> str | None:
    """The first column of one of these names, to the letter, else however it is written."""
    exact = [[name for name in names if name == wanted] for wanted in known]
    alike = [[name for name in names if _plain(name) == _plain(wanted)] for wanted in known]
    found = next(filter(None, (*exact, *alike)), None)
    if found and len(found) > 1:
        raise BadConfig(
            f"has several columns that could be the {what}: {', '.join(map(repr, found))}",
            where=where,
            cure=f"Say which: --option columns={what}:{found[0]}, or give each its own name.",
        )
    return found[0] if found else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) or "none"
