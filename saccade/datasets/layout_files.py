"""The files of a layout: which they are in a folder, and the records in them."""

import os
import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import (
    SeveralFit,
    files_like,
    folders_in,
    found_once,
    holds_texts,
    paths_like,
)
from saccade.data.reading import RELEASED, read_json, read_lines, read_start
from saccade.data.records import Split
from saccade.datasets.coco_captions import FILES as COCO_FILES
from saccade.datasets.custom_rows import split_in
from saccade.datasets.layout import (
    EACH,
    LAYOUTS,
    VALUES,
    Join,
    Mapping,
    fields_of,
    records_in,
    released,
    steps_of,
    taken,
    values_at,
)
from saccade.datasets.plain_pickle import read_pickle
from saccade.datasets.row_files import PARQUET, ROW_FILES, is_json, json_lines, read_rows
from saccade.datasets.vqa import FILES as VQA_FILES


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


SUBSET = r"(?:[A-Za-z]+[-_])?[A-Za-z]+(?:-dev|-std)?\d*(?:_\d{4})?"
ANOTHER_FORM = re.compile(r"(?:train|val|test)_(?!dev|std|challenge|\d)")
"""Begins what is no split, but another form of its file: train_tokenized, val_gt."""


@found_once
def files_of(root: Path, patterns: tuple[str, ...]) -> list[File]:
    """The files of these patterns below `root`, or below the first folder in it that has some."""
    for home in (root, *folders_in(root)):
        found: dict[Path, File] = {}
        for pattern in patterns:
            matches = _as_expression(pattern).fullmatch
            names = re.sub(r"\{\w+\}", "*", pattern).removesuffix(".gz")
            for path in (*paths_like(home, names), *paths_like(home, f"{names}.gz")):
                inside = path.relative_to(home)
                match = matches(inside.as_posix().removesuffix(".gz"))
                if not match or not path.is_file() or _plain(path) in found:
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


def _plain(path: Path) -> Path:
    """A file's path when it is unpacked."""
    return path.with_name(path.name.removesuffix(".gz"))


@cache
def _as_expression(pattern: str) -> re.Pattern[str]:
    """A pattern of files as a regular expression; braces that stand again are the same text."""
    known: set[str] = set()
    found = ""
    for piece in re.split(r"(\*|\{\w+\})", pattern.removesuffix(".gz")):
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


def signs_of(mapping: Mapping) -> list[str]:
    """Texts that every file of records in JSON must hold: names that the layout goes by."""
    paths = [mapping.records, *mapping.question[:1], *mapping.captions[:1]]
    if mapping.join and not mapping.join.files:
        paths = [mapping.join.records, *([] if mapping.join.all else paths)]
    pieces = [
        one for path in paths for one in path.split(" + ") if one[0] != "'" and "{" not in one
    ]
    names = [step for piece in pieces for step in steps_of(piece)]
    return [
        f'"{n}"' for n in names if isinstance(n, str) and n not in (EACH, VALUES) and n[0] != "$"
    ]


def matching_files(root: Path, mapping: Mapping, without: Sequence[Path] = ()) -> list[File]:
    """The files below `root` that a layout's records are in."""
    if mapping.files:
        found = files_of(root, mapping.files)
    else:
        found = [File(p, _subset_of(p, root), p.parent) for p in _without_names(root, mapping)]
    found = [file for file in found if file.path not in without]
    if found and mapping.join and mapping.join.holds and not partners(root, mapping.join):
        return []
    signs = [] if mapping.files and not mapping.holds else signs_of(mapping)
    fit = [
        file
        for file in found
        if holds_texts(file.path, *mapping.holds, *(signs if is_json(file.path) else ()))
        and (not mapping.parallel or _has_company(file, mapping))
    ]
    if fit and not mapping.files and mapping.join and mapping.join.all:
        fit += (file for file in found if file not in fit and _is_bare(file, mapping.join))
    return fit


def _without_names(root: Path, mapping: Mapping) -> list[Path]:
    """Files below `root` that may be of a layout without names: JSON where its records have a name,
    or it holds texts; then with a list outermost, or in lines, if that is where records are.
    """
    inside = any(isinstance(step, str) and step != EACH for step in steps_of(mapping.records))
    json = r".*\.(?i:jsonl?)(?:\.gz)?"
    found = files_like(root, json if inside or mapping.holds else rf".*{ROW_FILES}|{PARQUET}")
    found = [path for path in found if _plain(path) == path or _plain(path) not in found]
    if inside or not mapping.holds:
        return found
    return [p for p in found if read_start(p, 99).lstrip()[:1] == "[" or json_lines(p)]


def _is_bare(file: File, join: Join) -> bool:
    """Has a file of a split only what is joined, no record that joins it: is it to be predicted?"""
    mine = join.on.partition("=")[0].strip()
    names = [f'"{name}"' for name in steps_of(join.records) if name != EACH]
    wanted = file.split and holds_texts(file.path, *names)
    return bool(wanted) and not holds_texts(file.path, f'"{mine}"')


def _has_company(file: File, mapping: Mapping) -> bool:
    """Is there any of the files whose lines belong to those of this one? All must be to read it."""
    found = (_beside(file, patterns, mapping.part) for patterns in mapping.parallel.values())
    return any(paths and paths != [file.path] for paths in found)


def matching_layout(
    root: Path, mapping: Mapping, without: Sequence[Path]
) -> tuple[Mapping, list[File]]:
    """The same, and the layout that they have: this one, or one that it names otherwise."""
    found = matching_files(root, mapping, without)
    if found or mapping.otherwise is None:
        return mapping, found
    return matching_layout(root, mapping.otherwise, without)


def _beside(file: File, patterns: Sequence[str], part: str) -> list[Path]:
    """The files of the first of `patterns` of which there are some, packed or not."""
    for pattern in patterns:
        home = file.path.parent / pattern.replace("{split}", file.subset).replace("{part}", part)
        for ending in ("", ".gz"):
            folder = Path(os.path.normpath(home.parent))
            if found := paths_like(folder, home.name + ending):
                return found
    return []


def _subset_of(path: Path, root: Path) -> str:
    """Where a split stands that no pattern tells: in a file's name, or in that of its folder."""
    names = (path.stem, path.parent.name if path.parent != root else "")
    return next(filter(split_in, names), "")


def partners(root: Path, join: Join) -> list[File]:
    """The files that join others."""
    return [file for file in files_of(root, join.files) if holds_texts(file.path, *join.holds)]


@found_once
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
        files += [path] if holds_texts(path, '"question_id"') else []
    while layouts:
        layout = layouts.pop()
        layouts += [layout.otherwise] if layout.otherwise else []
        if found := matching_files(root, layout):
            files += [file.path for file in (*found, *files_of(root, layout.beside))]
            files += [file.path for file in partners(root, layout.join)] if layout.join else []
    return files


BY_MAPPING = "--option mapping=FILE.toml (docs/data.md)."
"""How a user describes a layout."""
NUMBERED = (
    "Files that are called by the images' numbers: --option image_name={}.jpg or {:012d}.jpg."
)
Document = tuple[Any, list[str]]
"""What a file holds, and the places of what has a line."""


def _document(path: Path, records: str, fields: set[str] | None) -> Document:
    """What a file holds, a list or whatever its JSON is, and the places of what has a line."""
    if path.suffix == ".pkl":
        return read_pickle(path), []
    if is_json(path) and not json_lines(path):
        top: type[Any] = list if records.startswith("[") else dict
        return read_json(path, top, object_hook=_kept(fields)), []
    rows = read_rows(path)[1]
    values = [{"$fault": row.fault} if row.fault else row.values for row in rows]
    return values, [row.place for row in rows]


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


def read_records(
    file: File,
    mapping: Mapping,
    records: str,
    *,
    some: bool = True,
    document: Document | None = None,
) -> Placed:
    """All records of a file, which must hold `some`; its `document` is read where none is given."""
    path = file.path
    around = {"$file": _plain(path).stem, "$folder": path.parent.name, "$subset": file.subset}
    around |= {f"${name}": text for name, text in file.named.items()}
    if mapping.lines:
        return [(place, {**around, **groups}) for place, groups in _lines(path, mapping.lines)]
    if mapping.parallel:
        found = _parallel(file, mapping.parallel, mapping.part)
        return [(f"line {n}", {**around, **row}) for n, row in enumerate(found, start=1)]
    content, places = document or _document(path, records, fields_of(mapping, records))
    listed = list(records_in(content, steps_of(records), around))
    if some and not listed:
        hint = f"Take the released file, mend the mapping, or give one: {BY_MAPPING}"
        raise BadData(f"holds no records at {records!r}", location=path, hint=hint)
    if len(places) != len(listed):
        places = [f"record {number}" for number in range(1, len(listed) + 1)]
    return list(zip(places, listed, strict=True))


def fields_at(file: File, mapping: Mapping, place: str) -> list[str]:
    """Names of all fields that a record of a file has, those that the layout lets go of, too."""
    if mapping.lines or mapping.parallel:
        records = read_records(file, mapping, mapping.records)
        return [name for name in dict(records).get(place, {}) if name[0] != "$"]
    document, places = _document(file.path, mapping.records, None)
    listed = records_in(document, steps_of(mapping.records), {})
    known = zip(places, listed, strict=False) if places else enumerate(listed, start=1)
    found: dict[str, Any] = next((r for at, r in known if place in (at, f"record {at}")), {})
    return [name for name in found if name[:1] != "$"]


def _lines(path: Path, pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
    match = re.compile(pattern).fullmatch
    for number, line in enumerate(read_lines(path), start=1):
        if (groups := match(line)) is not None:
            yield f"line {number}", {"$row": number - 1, **groups.groupdict()}
        elif line.strip():
            form = re.sub(r"\(\?P(<\w+>)(?:[^()\\]|\\.)*\)", r"\1", pattern)
            yield f"line {number}", {"$fault": f"is not of the form {form}: {line[:50]!a}"}


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


class Joining:
    """The files that join others: each is read once, however many files it joins."""

    def __init__(self, join: Join, others: Sequence[File], every: Sequence[str] = ()) -> None:
        """`others` are those files, `every` the names of all files of the data set."""
        self.join, self.others, self.every = join, others, every
        self.further = Joining(join.join, ()) if join.join else None
        self._read: dict[Path, list[tuple[str | None, dict[str, Any]]]] = {}
        self.idle: dict[Path, set[str | None]] = {}
        """The keys of each that no record has asked for yet."""

    def records_of(
        self, partner: File, mapping: Mapping, document: Document | None, *, some: bool = True
    ) -> list[tuple[str | None, dict[str, Any]]]:
        """The records of one, each with its key."""
        if partner.path not in self._read:
            field = _sides(self.join)[1]
            found = read_records(partner, mapping, self.join.records, some=some, document=document)
            self._read[partner.path] = [
                (key_of(value), record)
                for _, record in found
                for value in values_at(record, field)[:1]
            ]
            self.idle[partner.path] = {key for key, _ in self._read[partner.path]}
        return self._read[partner.path]

    def twice(self, key: str | None, first: File, second: File) -> BadData | SeveralFit:
        """The error for two records of one key."""
        message = f"has {_sides(self.join)[1]} {key} twice"
        if first.path == second.path:
            hint = "Keep one record of each; were two files put behind each other?"
            return BadData(message, location=second.path, hint=hint)
        return one_too_many(self.every, first, second, f"both have {message[4:-6]}")


def one_too_many(every: Sequence[str], first: File, second: File, message: str) -> SeveralFit:
    """The error for two files of which one should be read; `every` names all files."""
    names = [
        next((n for n in every if file.path.as_posix().endswith(f"/{n}")), file.path.name)
        for file in (first, second)
    ]
    choices = [",".join(n for n in every if n != other) for other in reversed(names)]
    message = f"{names[0]} and {names[1]} {message}"
    return SeveralFit(message, location=second.path.parent, option="files", choices=choices)


def _sides(join: Join) -> tuple[str, str]:
    """The fields that are equal, of a record and of what joins it."""
    mine, _, theirs = (part.strip() for part in join.on.partition("="))
    return mine, theirs or mine


def joined(mapping: Mapping, file: File, joining: Joining) -> Placed:
    """The records of a file, each with what has the same key in the files that join it."""
    join, (mine, theirs) = joining.join, _sides(joining.join)
    partners = [o for o in joining.others if o.split in (None, file.split)]
    partners = partners if join.files else [file]
    # What joins records of its own file stands in the same document, which is read once.
    document = None
    if not join.files:
        document = _document(file.path, mapping.records, fields_of(mapping, mapping.records))
    known: dict[str | None, tuple[File, dict[str, Any]]] = {}
    for partner in partners:
        for key, record in joining.records_of(partner, mapping, document):
            if (first := known.setdefault(key, (partner, record)))[1] is not record:
                raise joining.twice(key, first[0], partner)
    rows, used = [], set()
    mine_are = read_records(file, mapping, mapping.records, some=not join.all, document=document)
    for place, record in mine_are:
        key = key_of(said := next(iter(values_at(record, mine)), None))
        if not join.files and key not in known:
            message = f"{place} is about {mine} {ascii(said)[:40]}, which {join.records} lacks"
            raise BadData(message, location=file.path, hint=RELEASED)
        used.add(key)
        one = known.get(key, (file, {}))[1]
        if join.files and not mapping.files:
            _refuse_other_image(one, record, mapping, place, file)
        rows.append((place, _with_image({**one, **record}, one, key, join, mapping, file)))
    if join.all:
        alone = {key: record for key, (_, record) in known.items() if key not in used}
        return [
            *rows,
            *(
                (f"{theirs} {key}", _with_image(dict(one), one, key, join, mapping, file))
                for key, one in alone.items()
            ),
        ]
    secret = file.split == "test" and not any(partner.split for partner in partners)
    if partners and known and not used & known.keys() and not secret:
        message = f"shares no {mine} with {partners[0].path.name}: they are of different splits"
        raise BadData(message, location=file.path, hint="Take both from the same release.")
    for partner in partners:
        joining.idle[partner.path] -= used
    return _further(rows, mapping, joining.further, file, partners) if joining.further else rows


def _refuse_other_image(
    one: MappingOf[str, Any], record: MappingOf[str, Any], mapping: Mapping, place: str, file: File
) -> None:
    """Raise BadData where what joins a record is about another image."""
    for field in mapping.image_id:
        if field in one and field in record and key_of(one[field]) != key_of(record[field]):
            message = f"{place} is of {field} {ascii(record[field])[:40]}, but what joins it is of "
            message += ascii(one[field])[:40]
            hint = "The two files are not a pair: take both from the same release."
            raise BadData(message, location=file.path, hint=hint)


def _further(
    rows: Placed, mapping: Mapping, joining: Joining, file: File, partners: Sequence[File]
) -> Placed:
    """Rows with what joins them, where their file or one that joined it has such a list."""
    join, (mine, _) = joining.join, _sides(joining.join)
    known: dict[str | None, dict[str, Any]] = {}
    for other in dict.fromkeys(file.path for file in (file, *partners)):
        if not holds_texts(other, *join.holds):
            continue
        partner = file._replace(path=other)
        document = _document(other, join.records, fields_of(mapping, mapping.records))
        some = bool(taken(document[0], [str(steps_of(join.records)[0])]))
        for key, record in joining.records_of(partner, mapping, document, some=some):
            if known.setdefault(key, record) != record:
                raise joining.twice(key, partner, partner)
    if not known:
        return rows
    keys = [key_of(next(iter(values_at(record, mine)), None)) for _, record in rows]
    return [
        (place, _with_image({**one, **record}, one, key, join, mapping, file))
        for key, (place, record) in zip(keys, rows, strict=True)
        for one in (known.get(key, {}),)
    ]


def _with_image(
    record: dict[str, Any],
    image: MappingOf[str, Any],
    key: str | None,
    join: Join,
    mapping: Mapping,
    file: File,
) -> dict[str, Any]:
    """A record with the name of the image that joins it. A number is no name, where the image says
    more of itself than layouts know.
    """
    for path in join.image:
        if names := [name for name in taken(image, (path,)) if isinstance(name, str)]:
            return {**record, "$image": names}
    if strange := taken(image, join.image[:1]):
        message = f"image {key} in {join.records} names no image, but {ascii(strange[0])[:40]}"
        hint = f"Write the file name of the image as its {join.image[0]}."
        raise BadData(message, location=file.path, hint=hint)
    if not join.image or not (key or "").isdecimal() or taken(record, mapping.image):
        return record
    listed = mapping.replace(records=join.records)
    around = {str(step) for step in (*steps_of(mapping.records), *steps_of(join.records))}
    has = ", ".join(n for n in fields_at(file, listed, "record 1") if n not in around)
    message = f"names no file for image {key} in {join.records}"
    hint = (
        f"It should be one of: {', '.join(join.image[:7])} ...; there is: {has[:200] or 'nothing'}."
    )
    hint = f"{hint} {NUMBERED} Another form: {BY_MAPPING}"
    raise BadData(message, location=file.path, hint=hint)


def key_of(value: Any) -> str | None:
    """What two records have in common: 7 in one file may be "7" or 7.0 in the other."""
    whole = isinstance(value, float) and value.is_integer()
    return None if value is None else str(int(value) if whole else value)
