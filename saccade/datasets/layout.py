"""Layouts as text: where the files of a data set name images, questions, answers and captions.

A layout is a TOML file. Those of released sets lie in `layouts/`; a user writes one for data of
an own form and gives it as `--option mapping=FILE`:

    files = "ann_{split}.json"             # {split}: a split's word, as train2014; *: anything
    records = "data[]"                     # a record is each element of the list "data"
    image = "pictures/{number:06d}.png"    # of the record's field "number"
    question = "q.text"
    answers = "replies[].label"

A *path* goes down by names; `[]` is each element of a list, `[0]` the first, `[place]` the one
whose number is the record's field "place", `*` each value of an object. `a + b` is all of both,
`'text'` that text. A record has the fields of what it lies in, too, and `$key`, `$row`, `$next`
(the next element), `$file` (without ending), `$folder`, `$subset` (what {split} stood for) and
`$NAME`, what {NAME} stood for in the name of its file.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from saccade.core.errors import BadConfig
from saccade.core.settings import Settings, first_problem
from saccade.data.reading import read_text

LAYOUTS = Path(__file__).parent / "layouts"


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_braces(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse texts whose braces name nothing, or ask for what neither number nor text can be."""
    for text in texts:
        for _, path, form, conversion in Formatter().parse(text):
            if path == "" or conversion:
                raise ValueError(f"{text!r} has braces without the name of a field")
            for value in ("", 0):
                try:
                    format(value, form or "")
                    break
                except ValueError:
                    continue
            else:
                raise ValueError(f"{text!r} asks for the unknown form {form!r}")
    return texts


def _as_texts(value: object) -> object:
    """Values as Python writes them: `true` of TOML and of JSON are `True`."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one) if isinstance(one, bool | int | float) else one for one in values)


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
    return pattern


Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""One text or several."""
Paths = Annotated[Texts, AfterValidator(_check_braces)]
"""A path or a text with paths in braces, or several: the first that a record has counts."""
WORDED = (
    *("id", "image_id", "question", "answers", "best_answer", "captions", "choices", "split"),
    *("answer_type", "question_type"),
)
"""Parts of a record whose values `words` may translate."""


def _check_words(words: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    if strange := [part for part in words if part not in WORDED]:
        raise ValueError(f"{strange[0]!r} is no part of a record: {', '.join(WORDED)}")
    return words


Values = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]
"""One value or several, as text."""


class Join(Settings):
    """Records that are put together with others of the same key."""

    files: Paths = ()
    """Patterns of their files; none where they lie in the same one, or in one that joined it."""
    holds: Texts = ()
    """Texts that such a file must hold."""
    records: str = "[]"
    on: str
    """The field that is equal in both, or "one = other" of the record and of what joins it."""
    all: bool = False
    """Do those that join nothing count, too: images without captions, to be predicted?"""
    image: Paths = ()
    """The name of the file, where what joins is the image itself: it counts before `image` of the
    record, which may be the name of a mask. One that has none is refused."""
    join: "Join | None" = None
    """What joins the result, if it is there."""


class Mapping(Settings):
    """A layout."""

    files: Paths = ()
    """Patterns of the files below the root, or below a folder in it; all that fit where none is.
    {split} stands for a split's word, {NAME} and * for anything."""
    holds: Texts = ()
    """Texts that such a file must hold: names that other layouts do not use."""
    records: str = "[]"
    lines: Annotated[str, AfterValidator(_check_pattern)] = ""
    """A regular expression with named groups: each line is a record of these fields."""
    parallel: dict[str, Paths] = Field(default_factory=dict)
    """Names of fields, and the files beside it whose lines they are: record 7 is line 7 of each.
    The first pattern that fits a file counts; where it has a *, each line is a list."""
    join: Join | None = None
    filter: dict[str, Values] = Field(default_factory=dict)
    """Only records whose field has one of these values (as text) count; any, where none is said."""
    exclude: dict[str, Values] = Field(default_factory=dict)
    """Records whose field has one of these values (as text) do not count."""
    replies: dict[str, Values] = Field(default_factory=dict)
    """Only records count that no other one follows (`$next`) than one whose field has one of these
    values, as text: turns of a conversation. What `filter` asks for is never the answer to such."""
    unique: Paths = ()
    """What no two records of a file may share."""
    shared_images: bool = False
    """Do the published splits divide records, so that an image may be in two of them?"""
    once: bool = False
    """Do captions count once that other records of their image repeat?"""
    lists: Paths = ()
    """Patterns of the files that list the images of each split, if they are there."""
    beside: Paths = ()
    """Patterns of other forms of the same records, which no layout reads."""
    parts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What `--option part=NAME` changes in the layout."""
    part: str = ""
    """What {part} stands for in `parallel`, where no `--option part=` says another word."""
    id: Paths = ()
    image: Paths = ()
    """The name of the file. Where there is none, the images are found by `image_id`."""
    image_id: Paths = ()
    folders: Paths = ()
    """Of the images, before the usual ones; {split} and {subset} may stand in them."""
    question: Paths = ()
    remove: Texts = ()
    """Texts that are taken out of questions."""
    answers: Paths = ()
    best_answer: Paths = ()
    captions: Paths = ()
    choices: Paths = ()
    split: Paths = ()
    split_words: Paths = ()
    """Fields that are the split where all values are words of splits, and `split` has none."""
    answer_type: Paths = ()
    question_type: Paths = ()
    separator: str = ""
    """What stands between answers in one text."""
    words: Annotated[dict[str, dict[str, str]], AfterValidator(_check_words)] = Field(
        default_factory=dict
    )
    """What values of the fields above stand for: {answer_type = {0 = "object"}}."""
    otherwise: "Mapping | None" = None
    """The layout, where there are no files of this one."""


def load(path: Path) -> Mapping:
    """The layout in a TOML file. Raises BadConfig for one that is none."""
    try:
        said = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        hint = 'Write lines such as: question = "q.text"'
        raise BadConfig(f"is no TOML ({error})", location=path, hint=hint) from None
    mapping = changed(Mapping(), path, said)
    for change in mapping.parts.values():
        changed(mapping, path, change)
    return mapping


def changed(mapping: Mapping, location: Path | None, change: MappingOf[str, Any]) -> Mapping:
    """The layout with other fields. Raises BadConfig for fields that are none."""
    try:
        return mapping.replace(**change)
    except ValidationError as error:
        hint = f"A mapping has: {', '.join(Mapping.model_fields)}; see docs/data.md."
        problem = first_problem(error, "mapping")
        if (first := error.errors(include_url=False)[0])["type"] == "extra_forbidden":
            field = str(first["loc"][-1])
            problem = f"unknown field `{field[:40]}`"
            if close := get_close_matches(field, Mapping.model_fields, 1):
                problem += f": did you mean `{close[0]}`?"
        raise BadConfig(problem, location=location, hint=hint) from None


@cache
def released(name: str) -> Mapping:
    """The layout of a released set, of `layouts/`."""
    return Mapping(**tomllib.loads((LAYOUTS / f"{name}.toml").read_text(encoding="utf-8")))


# Paths in records.

EACH, VALUES = "[]", "*"


@cache
def steps_of(path: str) -> tuple[str | int, ...]:
    """The names, places, `[]`, `[name]` and `*` that a path goes down."""
    found = re.findall(r"\[[^\]]*\]|[^.\[\]]+", path)
    return tuple(int(s[1:-1]) if s[1:-1].isdigit() and s[0] == "[" else s for s in found)


def values_at(value: Any, path: str) -> list[Any]:
    """All that a path leads to; nothing where it leads nowhere."""
    found = [value]
    for named in steps_of(path):
        step = named
        if isinstance(named, str) and named[0] == "[" and named != EACH:
            said = value.get(named[1:-1]) if isinstance(value, dict) else None
            step = said if type(said) is int and said >= 0 else sys.maxsize
        if step == EACH:
            found = [one for some in found if isinstance(some, list) for one in some]
        elif step == VALUES:
            found = [one for some in found if isinstance(some, dict) for one in some.values()]
        elif isinstance(step, int):
            found = [some[step] for some in found if isinstance(some, list) and step < len(some)]
        else:
            found = [some[step] for some in found if isinstance(some, dict) and step in some]
    return found


def _filled(parts: Sequence[tuple[str, str | None, str]], record: Any) -> list[str]:
    """A text with what its braces say of the record; nothing where the record lacks a field.
    `parts` are what stands before braces, the path in them, and the form of its value.
    """
    text = ""
    for before, path, form in parts:
        text += before
        if path is not None:
            value = next(iter(values_at(record, path)), None)
            if value is None:
                return []
            number = form.endswith("d") and isinstance(value, str) and value.isdigit()
            try:
                text += format(int(value) if number else value, form)
            except (ValueError, TypeError):
                return []
    return [text]


def taken(record: Any, paths: Sequence[str]) -> list[Any]:
    """What the first of `paths` gives that gives anything."""
    for path in paths:
        found = [value for values in _pieces(path) for value in values(record)]
        if found := [value for value in found if value not in (None, "", [])]:
            return found
    return []


@cache  # paths are taken apart once, not for every record
def _pieces(path: str) -> list[Callable[[Any], list[Any]]]:
    """Each piece of a path as a function from a record to what it gives."""
    return [_piece(piece) for piece in path.split(" + ")]


def _piece(path: str) -> Callable[[Any], list[Any]]:
    if path[:1] == path[-1:] == "'":
        return lambda record: [path[1:-1]]
    if "{" in path:
        parts = [(before, field, form or "") for before, field, form, _ in Formatter().parse(path)]
        return lambda record: _filled(parts, record)
    if re.fullmatch(r"[^.*\[\]]+", path):  # a name
        return lambda record: [record[path]] if path in record else []
    return lambda record: values_at(record, path)


_NO_PATHS = ("files", "holds", "folders", "remove")


def fields_of(mapping: Mapping, records: str) -> set[str] | None:
    """Names of all fields that a layout asks for; None where an object's names may be any."""
    texts, join = [records, *mapping.filter, *mapping.exclude, *mapping.replies], mapping.join
    while join:
        texts += [join.records, *join.image, *(side.strip() for side in join.on.split("="))]
        join = join.join
    for part, said in dict(mapping).items():
        texts += said if isinstance(said, tuple) and part not in _NO_PATHS else ()
    names: set[str] = set()
    for text in texts:
        braced = [path for _, path, _, _ in Formatter().parse(text) if path] if "{" in text else []
        for path in braced or text.split(" + "):
            names |= {step.strip("[]") for step in steps_of(path) if isinstance(step, str)}
    return None if VALUES in names else names


def records_in(value: Any, steps: Sequence[str | int], around: dict[str, Any]) -> Iterator[Any]:
    """The records that a path leads to, each with the fields of what it lies in."""
    if not steps:
        yield {**around, **value} if isinstance(value, dict) else {**around, "$value": value}
        return
    step, *rest = steps
    if step == EACH and isinstance(value, list):
        for row, one in enumerate(value):
            beside = {"$row": row, "$next": value[row + 1] if row + 1 < len(value) else None}
            yield from records_in(one, rest, {**around, **beside})
    elif step == VALUES and isinstance(value, dict):
        for key, one in value.items():
            yield from records_in(one, rest, {**around, "$key": key})
    elif isinstance(value, dict) and isinstance(step, str) and step in value:
        beside = {key: one for key, one in value.items() if key != step}
        yield from records_in(value[step], rest, {**around, **beside})
    elif "$row" in around or "$key" in around:  # a record that lacks what others have
        yield from records_in(value, (), around)
