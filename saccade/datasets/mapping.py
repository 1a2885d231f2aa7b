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

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from functools import cache
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from saccade.core.errors import BadConfig, BadData
from saccade.core.settings import Settings, first_problem
from saccade.data.find_files import ImageFiles, files_like, folders_in, holds_texts, tidy
from saccade.data.options import one_of
from saccade.data.reading import RELEASED, read_json, read_lines, read_text
from saccade.data.records import Collection, Split
from saccade.datasets.coco_captions import FILES as COCO_FILES
from saccade.datasets.custom_rows import Row, as_rules, collect, is_address, split_in
from saccade.datasets.plain_pickle import read_pickle
from saccade.datasets.row_files import (
    PARQUET,
    ROW_FILES,
    is_json,
    json_lines,
    read_rows,
)
from saccade.datasets.vqa import FILES as VQA_FILES

LAYOUTS = Path(__file__).parent / "layouts"
ENDINGS = (
    *("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"),
    *(".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm"),
)
"""Tried behind an image's name that has none."""


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


class Join(Settings):
    """Records that are put together with others of the same key."""

    files: Paths = ()
    """Patterns of their files; none where they lie in the same one."""
    holds: Texts = ()
    """Texts that such a file must hold."""
    records: str = "[]"
    on: str
    """The field that is equal in both, or "one = other" of the record and of what joins it."""
    all: bool = False
    """Do those that join nothing count, too: images without captions, to be predicted?"""


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
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Only records whose field has one of these values (as text) count; any, where none is said."""
    unique: Paths = ()
    """What no two records of a file may share."""
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
    answer_type: Paths = ()
    question_type: Paths = ()
    separator: str = ""
    """What stands between answers in one text."""
    words: dict[str, dict[str, str]] = Field(default_factory=dict)
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
    mapping = _changed(Mapping(), path, said)
    for change in mapping.parts.values():
        _changed(mapping, path, change)
    return mapping


def _changed(mapping: Mapping, location: Path | None, change: MappingOf[str, Any]) -> Mapping:
    """The layout with other fields. Raises BadConfig for fields that are none."""
    try:
        return mapping.replace(**change)
    except ValidationError as error:
        hint = f"A mapping has: {', '.join(Mapping.model_fields)}; see docs/data.md."
        raise BadConfig(first_problem(error, "mapping"), location=location, hint=hint) from None


@cache
def released(name: str) -> Mapping:
    """The layout of a released set, of `layouts/`."""
    return Mapping(**tomllib.loads((LAYOUTS / f"{name}.toml").read_text(encoding="utf-8")))


# Paths in records.

EACH, VALUES = "[]", "*"


@cache
def _steps(path: str) -> tuple[str | int, ...]:
    """The names, places, `[]`, `[name]` and `*` that a path goes down."""
    found = re.findall(r"\[[^\]]*\]|[^.\[\]]+", path)
    return tuple(int(s[1:-1]) if s[1:-1].isdigit() and s[0] == "[" else s for s in found)


def values_at(value: Any, path: str) -> list[Any]:
    """All that a path leads to; nothing where it leads nowhere."""
    found = [value]
    for named in _steps(path):
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


def _filled(text: str, record: Any) -> list[str]:
    """A text with what its braces say of the record; nothing where the record lacks a field."""
    parts = []
    for literal, path, form, _ in Formatter().parse(text):
        parts.append(literal)
        if path is not None:
            value = next(iter(values_at(record, path)), None)
            if value is None:
                return []
            number = (form or "").endswith("d") and isinstance(value, str) and value.isdigit()
            try:
                parts.append(format(int(value) if number else value, form or ""))
            except (ValueError, TypeError):
                return []
    return ["".join(parts)]


def taken(record: Any, paths: Sequence[str]) -> list[Any]:
    """What the first of `paths` gives that gives anything."""
    for path in paths:
        found = [value for piece in path.split(" + ") for value in _said_by(piece, record)]
        if found := [value for value in found if value not in (None, "", [])]:
            return found
    return []


def _said_by(path: str, record: Any) -> list[Any]:
    if path[:1] == path[-1:] == "'":
        return [path[1:-1]]
    return _filled(path, record) if "{" in path else values_at(record, path)


_NO_PATHS = ("files", "holds", "folders", "remove")


def _fields(mapping: Mapping, records: str) -> set[str] | None:
    """Names of all fields that a layout asks for; None where an object's names may be any."""
    join = mapping.join or Join(on="")
    texts = [records, join.records, *mapping.where]
    texts += [side.strip() for side in join.on.split("=")]
    for part, said in dict(mapping).items():
        texts += said if isinstance(said, tuple) and part not in _NO_PATHS else ()
    names: set[str] = set()
    for text in texts:
        braced = [path for _, path, _, _ in Formatter().parse(text) if path] if "{" in text else []
        for path in braced or text.split(" + "):
            names |= {step.strip("[]") for step in _steps(path) if isinstance(step, str)}
    return None if VALUES in names else names


def _records_in(value: Any, steps: Sequence[str | int], around: dict[str, Any]) -> Iterator[Any]:
    """The records that a path leads to, each with the fields of what it lies in."""
    if not steps:
        yield {**around, **value} if isinstance(value, dict) else {**around, "$value": value}
        return
    step, *rest = steps
    if step == EACH and isinstance(value, list):
        for row, one in enumerate(value):
            beside = {"$row": row, "$next": value[row + 1] if row + 1 < len(value) else None}
            yield from _records_in(one, rest, {**around, **beside})
    elif step == VALUES and isinstance(value, dict):
        for key, one in value.items():
            yield from _records_in(one, rest, {**around, "$key": key})
    elif isinstance(value, dict) and isinstance(step, str) and step in value:
        beside = {key: one for key, one in value.items() if key != step}
        yield from _records_in(value[step], rest, {**around, **beside})
    elif "$row" in around or "$key" in around:  # a record that lacks what others have
        yield from _records_in(value, (), around)


# Files.


class File(NamedTuple):
    """A file of records, and what the braces stood for in its name."""

    path: Path
    subset: str
    """{split}."""
    home: Path
    """The folder that the data set lies in."""
    named: MappingOf[str, str] = MappingProxyType({})
    """The other braces."""

    @property
    def split(self) -> Split | None:
        return split_in(self.subset)


SUBSET = r"(?:[A-Za-z]+[-_])?[A-Za-z]+(?:-dev|-std)?\d*(?:_\d{4}(?:_[a-z]+)?)?"
ANOTHER_FORM = re.compile(r"(?:train|val|test)_(?!dev|std|challenge|\d)")
"""Begins what is no split, but another form of its file: train_tokenized, val_gt."""


def files_of(root: Path, patterns: Sequence[str]) -> list[File]:
    """The files of these patterns below `root`, or below the first folder in it that has some."""
    for home in (root, *folders_in(root)):
        found: dict[Path, File] = {}
        for pattern in patterns:
            matches = _as_expression(pattern).fullmatch
            for path in sorted(home.glob(re.sub(r"\{\w+\}", "*", pattern))):
                inside = path.relative_to(home)
                hidden = any(part.startswith(".") for part in inside.parts)
                if hidden or not (match := matches(inside.as_posix())) or not path.is_file():
                    continue
                named = match.groupdict()
                subset = named.pop("split", "")
                known = split_in(subset) and not ANOTHER_FORM.match(subset)
                if known or "{split}" not in pattern:
                    found.setdefault(path, File(path, subset, home, named))
        if found:
            return [
                file if file.subset else file._replace(subset=_subset_of(file.path, root))
                for file in found.values()
            ]
    return []


@cache
def _as_expression(pattern: str) -> re.Pattern[str]:
    """A pattern of files as a regular expression; braces that stand again are the same text."""
    known: set[str] = set()
    found = ""
    for piece in re.split(r"(\*|\{\w+\})", pattern):
        name = piece[1:-1]
        if piece == "*":
            found += "[^/]*"
        elif piece[:1] != "{":
            found += re.escape(piece)
        else:
            anything = SUBSET if name == "split" else "[^/]+?"
            found += f"(?P={name})" if name in known else f"(?P<{name}>{anything})"
            known.add(name)
    return re.compile(found)


def _signs(mapping: Mapping) -> list[str]:
    """Texts that every file of records in JSON must hold: names that the layout goes by."""
    paths = [mapping.records, *mapping.question[:1], *mapping.captions[:1]]
    if mapping.join and not mapping.join.files:
        paths = [mapping.join.records, *([] if mapping.join.all else paths)]
    names = [step for path in paths if "{" not in path for step in _steps(path)]
    return [
        f'"{n}"' for n in names if isinstance(n, str) and n not in (EACH, VALUES) and n[0] != "$"
    ]


def fitting(root: Path, mapping: Mapping, without: Sequence[Path] = ()) -> list[File]:
    """The files below `root` that a layout's records are in."""
    if mapping.files:
        found = files_of(root, mapping.files)
    else:
        inside = any(isinstance(step, str) and step != EACH for step in _steps(mapping.records))
        kinds = r".*\.(?i:json)" if inside else rf".*{ROW_FILES}|{PARQUET}"
        found = [File(p, _subset_of(p, root), p.parent) for p in files_like(root, kinds)]
    if mapping.join and mapping.join.holds and not partners(root, mapping.join):
        return []
    signs = [] if mapping.files and not mapping.holds else _signs(mapping)
    return [
        file
        for file in found
        if file.path not in without
        and holds_texts(file.path, [*mapping.holds, *(signs if is_json(file.path) else [])])
        and (not mapping.parallel or _has_company(file, mapping))
    ]


def _has_company(file: File, mapping: Mapping) -> bool:
    """Is there any of the files whose lines belong to those of this one? All must be to read it."""
    found = (_beside(file, patterns, mapping.part) for patterns in mapping.parallel.values())
    return any(paths and paths != [file.path] for paths in found)


def _fitting(root: Path, mapping: Mapping, without: Sequence[Path]) -> tuple[Mapping, list[File]]:
    """The same, and the layout that they have: this one, or one that it names otherwise."""
    found = fitting(root, mapping, without)
    if found or mapping.otherwise is None:
        return mapping, found
    return _fitting(root, mapping.otherwise, without)


def _beside(file: File, patterns: Sequence[str], part: str) -> list[Path]:
    """The files of the first of `patterns` of which there are some, packed or not."""
    for pattern in patterns:
        home = file.path.parent / pattern.replace("{split}", file.subset).replace("{part}", part)
        for ending in ("", ".gz"):
            if found := sorted(Path(os.path.normpath(home.parent)).glob(home.name + ending)):
                return found
    return []


def _subset_of(path: Path, root: Path) -> str:
    """Where a split stands that no pattern tells: in a file's name, or in that of its folder."""
    names = (path.stem, path.parent.name if path.parent != root else "")
    return next(filter(split_in, names), "")


def partners(root: Path, join: Join) -> list[File]:
    """The files that join others."""
    return [file for file in files_of(root, join.files) if holds_texts(file.path, join.holds)]


def claimed(root: Path, *names: str) -> list[Path]:
    """Files below `root` that belong to the layouts of these released sets, else of all that have
    names of their own, and those of VQA and COCO captions.
    """
    every = names or [path.stem for path in sorted(LAYOUTS.glob("*.toml"))]
    layouts = [
        mapping.replace(**change)
        for name in every
        if (mapping := released(name)).files
        for change in ({}, *(part for part in mapping.parts.values() if "files" in part))
    ]
    files = [] if names else files_like(root, COCO_FILES)
    for path in [] if names else files_like(root, VQA_FILES):
        files += [path] if holds_texts(path, ['"question_id"']) else []
    while layouts:
        layout = layouts.pop()
        layouts += [layout.otherwise] if layout.otherwise else []
        if found := fitting(root, layout):
            files += [file.path for file in (*found, *files_of(root, layout.beside))]
            files += [file.path for file in partners(root, layout.join)] if layout.join else []
    return files


def _document(path: Path, mapping: Mapping, records: str) -> tuple[Any, list[str]]:
    """What a file holds, a list or whatever its JSON is, and the places of what has a line."""
    if path.suffix == ".pkl":
        return read_pickle(path), []
    if is_json(path) and not json_lines(path):
        top: type[Any] = list if records.startswith("[") else dict
        return read_json(path, top, object_hook=_kept(_fields(mapping, records))), []
    rows = read_rows(path)[1]
    return [row.values for row in rows], [row.place for row in rows]


def _kept(fields: set[str] | None) -> Any:
    """A hook that lets go of other fields (nine tenths of CLEVR), and keeps one of many equal small
    objects, such as the answers of VQA.
    """
    known: dict[Any, Any] = {}

    def share(record: dict[str, Any]) -> Any:
        if fields is not None:
            record = {name: record[name] for name in record.keys() & fields}
        if len(record) > 4:
            return record
        try:
            key = tuple((name, type(value), value) for name, value in record.items())
            return known.setdefault(key, record)  # by type: 1 and True are equal
        except TypeError:  # it holds lists or objects
            return record

    return share


Placed = list[tuple[str, dict[str, Any]]]
"""Place ("record 7") and fields of records."""


def _read_records(file: File, mapping: Mapping, records: str, *, some: bool = True) -> Placed:
    """All records of a file, which must hold `some`."""
    path = file.path
    around = {"$file": path.stem, "$folder": path.parent.name, "$subset": file.subset}
    around |= {f"${name}": text for name, text in file.named.items()}
    if mapping.lines:
        return [(place, {**around, **groups}) for place, groups in _lines(path, mapping.lines)]
    if mapping.parallel:
        found = _parallel(file, mapping.parallel, mapping.part)
        return [(f"line {n}", {**around, **row}) for n, row in enumerate(found, start=1)]
    document, places = _document(path, mapping, records)
    listed = list(_records_in(document, _steps(records), around))
    if some and not listed:
        hint = "Take the released file, or mend the mapping."
        raise BadData(f"holds no records at {records!r}", location=path, hint=hint)
    if len(places) != len(listed):
        places = [f"record {number}" for number in range(1, len(listed) + 1)]
    return list(zip(places, listed, strict=True))


def _lines(path: Path, pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
    match = re.compile(pattern).fullmatch
    for number, line in enumerate(read_lines(path), start=1):
        if (groups := match(line)) is not None:
            yield f"line {number}", {"$row": number - 1, **groups.groupdict()}
        elif line.strip():
            form = re.sub(r"\(\?P(<\w+>)(?:[^()\\]|\\.)*\)", r"\1", pattern)
            message = f"line {number} is not of the form {form}: {line[:50]!a}"
            raise BadData(message, location=path, hint=RELEASED)


def _parallel(file: File, names: MappingOf[str, Sequence[str]], part: str) -> list[dict[str, Any]]:
    """Records of files whose lines belong together."""
    columns: dict[str, list[Any]] = {}
    lengths = {}
    for name, patterns in names.items():
        several = []
        if not (paths := _beside(file, patterns, part)):
            lost = file.path.parent / patterns[0].replace("{split}", file.subset)
            hint = "Take all files of the release, and check --root."
            raise BadData("there is no such file", location=lost, hint=hint)
        for path in paths:
            lines = read_lines(path)
            several.append(lines[:-1] if lines[-1] == "" else lines)
            lengths[path.name] = len(several[-1])
        starred = any("*" in pattern for pattern in patterns)
        columns[name] = list(zip(*several, strict=False)) if starred else several[0]
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        message = f"and the files beside it have not equally many lines: {shown}"
        raise BadData(message, location=file.path, hint="Take all from the same release.")
    rows = zip(*columns.values(), strict=True)
    return [
        {name: list(v) if isinstance(v, tuple) else v for name, v in zip(columns, row, strict=True)}
        for row in rows
    ]


def _joined(
    root: Path, mapping: Mapping, join: Join, file: File, others: Sequence[File]
) -> tuple[Placed, list[str]]:
    """The records of a file, each with what has the same key in the files that join it, and a note
    about records there that nothing asked for.
    """
    mine, _, theirs = (part.strip() for part in join.on.partition("="))
    theirs = theirs or mine
    partners = [o for o in others if o.split in (None, file.split)] if join.files else [file]
    known: dict[Any, dict[str, Any]] = {}
    for partner in partners:
        for _, record in _read_records(partner, mapping, join.records):
            for key in values_at(record, theirs)[:1]:
                if known.setdefault(key, record) is not record:
                    message = f"has {theirs} {key} twice"
                    hint = "Keep one record of each; were two files put behind each other?"
                    raise BadData(message, location=partner.path, hint=hint)
    rows, used = [], set()
    for place, record in _read_records(file, mapping, mapping.records, some=not join.all):
        key = next(iter(values_at(record, mine)), None)
        if not join.files and key not in known:
            message = f"{place} is about {mine} {ascii(key)[:40]}, which {join.records} lacks"
            raise BadData(message, location=file.path, hint=RELEASED)
        used.add(key)
        rows.append((place, {**known.get(key, {}), **record}))
    if join.all:
        alone = {key: record for key, record in known.items() if key not in used}
        rows += ((f"{theirs} {key}", record) for key, record in alone.items())
        return rows, []
    if partners and known and not used & known.keys():
        message = f"shares no {mine} with {partners[0].path.name}: they are of different splits"
        raise BadData(message, location=file.path, hint="Take both from the same release.")
    idle = len(known.keys() - used)
    names = ", ".join(partner.path.name for partner in partners)
    return rows, [f"{idle} records of {names} belong to none of {file.path.name}."] if idle else []


# Images.


class _Images:
    """The images of a layout, in the folders where people unpack them."""

    def __init__(self, files: ImageFiles, mapping: Mapping) -> None:
        self.files, self.mapping = files, mapping
        self.known: dict[tuple[Path, str], list[str]] = {}
        self.found: dict[tuple[tuple[str, ...], Path, str], str] = {}
        self.flat: dict[str, str] = {}
        self.patterns: dict[str, str | None] = {}

    def folders(self, file: File) -> list[str]:
        """Those of the layout, of the file's split, of no split, and the others: below the folder
        that the data set lies in, then below that of the images.
        """
        key = file.home, file.subset
        if key not in self.known:
            inside = file.home.absolute().is_relative_to(self.files.root)
            below = file.home.absolute().relative_to(self.files.root).as_posix() if inside else "."
            text = file.path.parent.absolute()
            beside = text.relative_to(self.files.root).as_posix() if inside else "."
            found: list[str] = []
            for base in dict.fromkeys((beside, below, ".")):
                tree = ["images", "", *ImageFiles(self.files.root / base).tree]
                splits = {folder: split_in(folder) for folder in tree}

                def order(folder: str, of: MappingOf[str, Split | None] = splits) -> list[bool]:
                    strange = of[folder] not in (None, file.split)
                    return [file.subset not in folder.split("/"), strange, of[folder] is None]

                own = [
                    folder.format(split=file.split or "", subset=file.subset)
                    for folder in self.mapping.folders
                ]
                found += (tidy(f"{base}/{folder}") for folder in (*own, *sorted(tree, key=order)))
            self.known[key] = list(dict.fromkeys(found))
        return self.known[key]

    def find(self, names: Sequence[str], file: File) -> str:
        """The first of `names` that is there, with one of `ENDINGS` where it has none, or its last
        part, where all lie in one folder; else the place where the first should be.
        """
        key = (tuple(names), file.home, file.subset)
        if key not in self.found:
            self.found[key] = self._look(names, self.folders(file))
        return self.found[key]

    def _look(self, names: Sequence[str], folders: Sequence[str]) -> str:
        for name in names:
            if path := self._there(name, folders):
                return path
        for name in names:
            path = self._there(name.rpartition("/")[2], ("", "images")) if "/" in name else None
            if path and self.flat.setdefault(path, name) != name:
                message = f"{path} could be {self.flat[path]} and {name}"
                hint = "Keep the folders of the images as they were released."
                raise BadData(message, location=self.files.root, hint=hint)
            if path:
                return path
        return self.files.find_path(names[0], folders)

    def _there(self, name: str, folders: Sequence[str]) -> str | None:
        endings = ("",) if re.search(r"\.\w{2,5}$", name) else ENDINGS
        path = self.files.find_path(name, folders, endings)
        folder, _, last = path.rpartition("/")
        return path if last in self.files.names(folder) else None

    def names_of(self, number: Any, file: File, every: Sequence[Any]) -> list[str]:
        """What the image of a number may be called; `every` has the numbers of the whole file."""
        if not (isinstance(number, int) or (isinstance(number, str) and number.isdigit())):
            return [str(number)]
        if file.subset not in self.patterns:
            self.patterns[file.subset] = self._pattern(file, list(map(int, every)))
        usual = ("{:012d}.jpg", f"COCO_{file.subset}_{{:012d}}.jpg", "{}.jpg", "{}.png")
        pattern = self.patterns[file.subset]
        return [name.format(int(number)) for name in ([pattern] if pattern else usual)]

    def _pattern(self, file: File, every: Sequence[int]) -> str | None:
        """The way to write a number that gives a file's name for all of them, if there is one."""
        for folder in self.folders(file):
            names = self.files.names(folder)
            for name in sorted(name for name in names if name[0] != "."):
                for match in re.finditer(r"\d+", name):
                    if int(match[0]) == every[0] and name.lower().endswith(ENDINGS[1:]):
                        width = len(match[0]) if match[0][0] == "0" or len(match[0]) > 6 else 0
                        head, tail = (
                            part.replace("{", "{{").replace("}", "}}")
                            for part in (name[: match.start()], name[match.end() :])
                        )
                        pattern = f"{head}{{:0{width}d}}{tail}" if width else f"{head}{{}}{tail}"
                        if names.issuperset(map(pattern.format, every)):
                            return pattern
        return None


# A data set.

USUAL = "mapping.toml"
"""The file that describes the layout, where the user names no other."""


def read(
    root: Path,
    mapping: str = USUAL,
    part: str = "",
    images: str = "",
    image_name: str = "",
    **rules: Any,
) -> Collection:
    """Read a data set of the layout in the file `mapping`, there or below `root`.

    `part` is one of those that the layout names; `images` is the folder of the images, `image_name`
    how a number becomes a name ("{:012d}.jpg"); `bad` says what to do with a record that cannot be
    used: "refuse" or "drop".
    Where no split is given, `val_share` and `test_share` of the images are drawn with `seed`.
    Raises BadConfig for a mapping that says too little, BadData for files of another form.
    """
    path = _own(root, mapping) or Path(mapping)
    if not path.is_file():
        hint = "Name the file that describes the layout: --option mapping=FILE.toml (docs/data.md)."
        raise BadData(f"holds no {mapping}", location=root, hint=hint)
    return read_mapped("mapping", root, load(path), part, images, image_name, **rules)


def recognise(root: Path, mapping: str = USUAL) -> str | None:
    """A layout that the user gives, or that lies there."""
    if mapping != USUAL:
        return f"the layout is given as {mapping}"
    path = _own(root, USUAL)
    return f"there is {path.relative_to(root).as_posix()}" if path else None


def _own(root: Path, mapping: str) -> Path | None:
    """The file of a layout below `root`, or directly below a folder in it."""
    return next((p / mapping for p in (root, *folders_in(root)) if (p / mapping).is_file()), None)


def read_released(
    name: str, root: Path, part: str = "", images: str = "", image_name: str = "", **rules: Any
) -> Collection:
    """Read a released set below `root`; options as `read`."""
    layout = released(name)
    without = () if layout.files else claimed(root)
    return read_mapped(name, root, layout, part, images, image_name, without, **rules)


def recognise_released(name: str, root: Path, part: str = "") -> str | None:
    """A file of the layout `name`; one without names of its own takes what no other one claims."""
    layout = released(name)
    if part in layout.parts or layout.part:
        layout, _ = _part(layout, part)
    _, found = _fitting(root, layout, () if layout.files else claimed(root))
    return f"there is {found[0].path.relative_to(root).as_posix()}" if found else None


def read_mapped(
    name: str,
    root: Path,
    mapping: Mapping,
    part: str = "",
    images: str = "",
    image_name: str = "",
    without: Sequence[Path] = (),
    **rules: Any,
) -> Collection:
    """The data set `name` below `root`, in the layout `mapping`, but for the files `without`."""
    checked = as_rules(**rules)
    mapping, notes = _part(mapping, part)
    mapping, found = _fitting(root, mapping, without)
    if not (mapping.image or mapping.image_id) or not (mapping.question or mapping.captions):
        hint = "Say image (or image_id), and question or captions."
        raise BadConfig("the mapping says too little", hint=hint)
    if image_name:
        field = next(iter(mapping.image_id), "image_id")
        given = re.sub(r"\{(?=[:}])", f"{{{field}", image_name)
        mapping = _changed(mapping, None, {"image": given})
        if {path for _, path, _, _ in Formatter().parse(given) if path is not None} != {field}:
            hint = "Write how the number stands in the name: --option image_name={:012d}.jpg."
            raise BadConfig(f"image_name={image_name} names no number", hint=hint)
    if not found:
        usual = ", ".join(mapping.files) or "file of such records"
        hint = "Check --root; `saccade list sources` shows the files of each source."
        raise BadData(f"holds no {usual}", location=root, hint=hint)
    places = _Images(ImageFiles(root, images or None), mapping)
    rows: list[Row] = []
    join = mapping.join
    others = partners(root, join) if join else []
    lists = _Lists(root, mapping)
    for file in found:
        if join:
            records, idle = _joined(root, mapping, join, file, others)
            notes += idle
        else:
            records = _read_records(file, mapping, mapping.records)
        _refuse_twice(file.path, records, mapping.unique)
        records, left = _wanted(records, file, mapping)
        records, unlisted = lists.divide(_once(records, mapping))
        notes += [*left, *unlisted]
        numbers = [n for _, r in records for n in taken(r, mapping.image_id)[:1]]
        rows += (
            row for place, record in records for row in _rows(file, place, record, places, numbers)
        )
    lists.refuse_unnamed(found[0].path)
    return collect(name, rows, str, places.files.root, checked, notes)


def _part(mapping: Mapping, part: str) -> tuple[Mapping, list[str]]:
    """The layout of a part, and a note about it, where there are parts."""
    known = ", ".join(mapping.parts)
    if mapping.part and not known:
        word, other = part or mapping.part, mapping.otherwise
        if not re.fullmatch(r"\w+", word):
            raise BadConfig(f"--option part={word} is no word", hint="Give one, such as en.")
        other = other.replace(part=word) if other else None
        return mapping.replace(part=word, otherwise=other), [f"Part {word} was read."]
    if part and not known:
        hint = "Leave it out."
        raise BadConfig(f"--option part={part} is of no use: there are no parts", hint=hint)
    if not part:
        note = f"It was read without --option part=, which may be one of: {known}."
        return mapping, [note] if known else []
    change = mapping.parts[one_of("part", part, mapping.parts)]
    return _changed(mapping, None, change), [f"Part {part} was read, one of: {known}."]


def _wanted(records: Placed, file: File, mapping: Mapping) -> tuple[Placed, list[str]]:
    """Records that `where` asks for, and notes about how many it does not."""
    notes = []
    for path, wanted in mapping.where.items():
        whole, records = (
            records,
            [
                (place, record)
                for place, record in records
                if any(not wanted or str(value) in wanted for value in taken(record, (path,))[:1])
            ],
        )
        if left := len(whole) - len(records):
            lack = (
                f"their {path} is not {' or '.join(wanted)}" if wanted else f"they have no {path}"
            )
            notes.append(f"{left} records of {file.path.name} were left out: {lack}.")
    return records, notes


def _once(records: Placed, mapping: Mapping) -> Placed:
    """The records without those that repeat a caption of their image, where layouts do."""
    if not mapping.once:
        return records
    return list({str(_said(one[1], mapping)): one for one in reversed(records)}.values())[::-1]


def _said(record: dict[str, Any], mapping: Mapping) -> tuple[list[Any], list[Any]]:
    """A record's image and its captions."""
    return taken(record, mapping.image or mapping.image_id), taken(record, mapping.captions)


class _Lists:
    """The files that list the images of each split, by their names with or without an ending."""

    def __init__(self, root: Path, mapping: Mapping) -> None:
        """Raises BadData for an image that is in two of them."""
        self.mapping = mapping
        self.split_of: dict[str, Split] = {}
        self.named: set[str] = set()
        for file in files_of(root, mapping.lists):
            for name in (_bare(line.strip()) for line in read_lines(file.path) if line.strip()):
                if file.split and self.split_of.setdefault(name, file.split) != file.split:
                    message = f"{name} is also in the list of the {self.split_of[name]} images"
                    hint = "An image belongs to one split: take the released lists."
                    raise BadData(message, location=file.path, hint=hint)

    def divide(self, records: Placed) -> tuple[Placed, list[str]]:
        """The records of listed images with their `$split`, and a note about the others."""
        if not self.split_of:
            return records, []
        kept = []
        for place, record in records:
            name = _bare(str(next(iter(taken(record, self.mapping.image)), "")))
            self.named.add(name)
            if split := self.split_of.get(name):
                kept.append((place, {**record, "$split": split}))
        left = len(records) - len(kept)
        note = f"{left} records are of images in no split list and were left out."
        return kept, [note] if left else []

    def refuse_unnamed(self, path: Path) -> None:
        """Raise BadData for listed images of which the file `path` says nothing."""
        if bare := [name for name in self.split_of if name not in self.named]:
            message = f"has no record of {len(bare)} images of the split lists"
            hint = "Take captions and lists from the same release."
            raise BadData(f"{message}, the first is {bare[0]}", location=path, hint=hint)


def _bare(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot + ending in ENDINGS else name


def _refuse_twice(path: Path, records: Placed, fields: Sequence[str]) -> None:
    known: set[Any] = set()
    for place, record in records if fields else ():
        key = next(iter(taken(record, fields)), None)
        if key is not None and key in known:
            message = f"{place} has {key} a second time"
            raise BadData(message, location=path, hint="Keep one record of each.")
        known.add(key)


def _rows(
    file: File, place: str, record: dict[str, Any], places: _Images, numbers: Sequence[Any]
) -> Iterator[Row]:
    """A row for each image of a record."""
    mapping = places.mapping
    values: dict[str, Any] = {
        part: next(iter(_parts(record, mapping, part)), None)
        for part in (
            *("id", "image_id", "question", "split", "best_answer"),
            *("answer_type", "question_type"),
        )
    }
    values["split"] = record.get("$split", values["split"])
    values["answer"] = _parts(record, mapping, "answers")
    values["caption"] = _parts(record, mapping, "captions")
    values["choices"] = _parts(record, mapping, "choices")
    if isinstance(question := values["question"], str) and mapping.remove:
        values["question"] = re.sub("|".join(map(re.escape, mapping.remove)), " ", question)
    if (number := values["image_id"]) is not None and not is_json(file.path):
        # A table has text alone: a number that is written as one is one.
        is_number = isinstance(number, str) and re.fullmatch(r"0|[1-9]\d{0,17}", number, re.ASCII)
        values["image_id"] = number = int(number) if is_number else number
    alternatives = [names for path in mapping.image if (names := taken(record, (path,)))]
    if not alternatives and (number := values["image_id"]) is not None:
        alternatives = [[name] for name in places.names_of(number, file, numbers)]
    # A name that the layout says comes first; one of a user's own file may say anything.
    split = file.split if mapping.files or values["split"] is None else None
    for place_of_image in range(max(map(len, alternatives), default=1)):
        names = [name[place_of_image] for name in alternatives if place_of_image < len(name)]
        texts = [
            name.replace("\\", "/") for name in names if isinstance(name, str) and name.strip()
        ]
        files = [text for text in texts if not is_address(text)]
        image = places.find(files, file) if files else next(iter(texts or names), None)
        yield Row(file.path, place, {**values, "image": image}, split)


def _parts(record: dict[str, Any], mapping: Mapping, part: str) -> list[Any]:
    """What a record says of a part, in words."""
    found = taken(record, getattr(mapping, part))
    if part == "answers" and mapping.separator:
        texts = (one.split(mapping.separator) if isinstance(one, str) else [one] for one in found)
        found = [text for several in texts for text in several]
    words = mapping.words.get(part)
    return [words.get(str(value), value) for value in found] if words else found
