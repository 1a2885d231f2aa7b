"""Data sets of a layout that is written down: their records become rows."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

from saccade.core.errors import BadConfig, BadData, in_number
from saccade.data.find_files import FolderGroups, ImageFiles, bare, folders_in, is_image, tidy
from saccade.data.options import one_of
from saccade.data.reading import RELEASED
from saccade.data.records import Collection, Split
from saccade.data.splits import listed_splits, refuse_unnamed
from saccade.datasets.custom_rows import (
    SPLIT_WORDS,
    Row,
    as_rules,
    collect,
    is_address,
    split_in,
    split_of_flag,
    split_of_folder,
    word_of_split,
)
from saccade.datasets.layout import Join, Mapping, changed, load, released, taken
from saccade.datasets.layout_files import (
    BY_MAPPING,
    NUMBERED,
    File,
    Joining,
    Placed,
    claimed,
    fields_at,
    files_of,
    joined,
    key_of,
    matching_files,
    matching_layout,
    one_too_many,
    partners,
    read_records,
    signs_of,
)
from saccade.datasets.lists_beside import images_by_id
from saccade.datasets.row_files import is_json

# Images.


class _Images:
    """The images of a layout, in the folders where people unpack them."""

    def __init__(self, files: ImageFiles, mapping: Mapping, *, own: bool) -> None:
        """`own` says that the layout is the user's, who can mend it."""
        self.files, self.mapping, self.own = files, mapping, own
        self.parts = [part for part in (*_ONE, *_SEVERAL) if getattr(mapping, part)]
        self.known: dict[tuple[Path, str], FolderGroups] = {}
        self.named: dict[tuple[Path, str], FolderGroups] = {}  # those that the layout names
        self.found: dict[tuple[tuple[str, ...], Path, str], str] = {}
        self.flat: dict[str, str] = {}
        self.told: set[Path] = set()
        self.gave: set[str] = set()
        """Parts, and paths of `filter` and `exclude`, that gave something in any record."""
        self.patterns: dict[tuple[Path, str], str | None] = {}
        self.numbered: dict[tuple[Path, str, Any], list[str]] = {}

    def folders(self, file: File) -> FolderGroups:
        """Each of those of the layout, those of the file's split, of no split, and the others:
        beside the file, below the folder that the data set lies in, then below that of the images.
        """
        key = file.home, file.subset
        if key not in self.known:
            inside = file.home.absolute().is_relative_to(self.files.root)
            below = file.home.absolute().relative_to(self.files.root).as_posix() if inside else "."
            text = file.path.parent.absolute()
            beside = text.relative_to(self.files.root).as_posix() if inside else "."
            groups: dict[Any, dict[str, None]] = {}
            known: set[str] = set()
            for base in dict.fromkeys((beside, below, ".")):
                own = [
                    folder.format(split=file.split or "", subset=file.subset)
                    for folder in self.mapping.folders
                ]
                tree = ["images", "", *ImageFiles(self.files.root / base).tree]
                ranks = {folder: self._rank(folder, file) for folder in tree}
                tiers = [(ranks[folder], folder) for folder in sorted(ranks, key=ranks.__getitem__)]
                for rank, folder in [*enumerate(own), *tiers]:
                    if (path := tidy(f"{base}/{folder}")) not in known:
                        known.add(path)
                        groups.setdefault((base, rank), {})[path] = None
            self.known[key] = tuple(map(tuple, groups.values()))
            named = (group for (_, rank), group in groups.items() if isinstance(rank, int))
            self.named[key] = tuple(map(tuple, named))
        return self.known[key]

    @staticmethod
    def _rank(folder: str, file: File) -> tuple[bool, ...]:
        of = split_of_folder(folder)
        mine = bool(file.subset) and file.subset in folder.split("/")
        strange = bool(file.split) and of not in (None, file.split)
        return not mine, strange, bool(file.split) and of is None

    def find(self, names: Sequence[str], file: File) -> str:
        """The first of `names` that is there, or its last part, where all lie in one folder or in
        one that the layout names; else the place where the first should be.
        """
        key = (tuple(names), file.home, file.subset)
        if key not in self.found:
            self.found[key] = self._search(names, file)
        return self.found[key]

    def _search(self, names: Sequence[str], file: File) -> str:
        folders = self.folders(file)
        for name in names:
            if path := self.files.search(name, folders):
                return path
        for name in names:
            last = name.rpartition("/")[2]
            flat = (("", "images"), *self.named[file.home, file.subset])
            path = self.files.search(last, flat) if "/" in name else None
            if path and self.flat.setdefault(path, name) != name:
                message = f"{path} could be {self.flat[path]} and {name}"
                hint = "Keep the folders of the images as they were released."
                raise BadData(message, location=self.files.root, hint=hint)
            if path:
                return path
        return self.files.find(*names, folders=[folder for group in folders for folder in group])

    def of_address(self, address: str, file: File) -> str | None:
        """The file that an address of the web was stored as, by its last part, if it is there."""
        path = self.find([re.split(r"[?#]", address.partition("://")[2])[0]], file)
        return path if (self.files.root / path).is_file() else None

    def names_of(self, number: Any, file: File, every: Sequence[Any]) -> list[str]:
        """What the image of a number may be called; `every` has the numbers of the whole file."""
        home = file.home, file.subset
        if home not in self.patterns:
            # Of Open Images' ids (0a1b...) some are digits alone: these are names as the others.
            numbers = all(map(_is_number, every))
            self.patterns[home] = self._pattern(file, list(map(int, every))) if numbers else ""
        if not _is_number(number) or self.patterns[home] == "":
            return [str(number)]
        if (key := (*home, number)) not in self.numbered:
            usual = ("{:012d}.jpg", f"COCO_{file.subset}_{{:012d}}.jpg", "{}.jpg", "{}.png")
            patterns = [pattern] if (pattern := self.patterns[home]) else usual
            names = list(dict.fromkeys(name.format(int(number)) for name in patterns))
            if len(names) > 1:
                there = [
                    path for name in names if (path := self.files.search(name, self.folders(file)))
                ]
                self.files.refuse_several(f"image {number}", there)
            self.numbered[key] = names
        return self.numbered[key]

    def _pattern(self, file: File, every: Sequence[int]) -> str | None:
        """The way to write a number that gives a file's name for all of them, if there is one.
        Raises BadData where there are several.
        """
        names: set[str] = set()
        for group in self.folders(file):
            paths = {
                name: tidy(f"{folder}/{name}").lstrip("/")
                for folder in group
                for name in self.files.names(folder)
            }
            names |= paths.keys()
            fitting: dict[str, str] = {}
            for name in sorted(name for name in paths if name[0] != "."):
                for match in re.finditer(r"\d+", name):
                    if int(match[0]) == every[0] and is_image(name):
                        width = len(match[0]) if match[0][0] == "0" or len(match[0]) > 6 else 0
                        head, tail = (
                            part.replace("{", "{{").replace("}", "}}")
                            for part in (name[: match.start()], name[match.end() :])
                        )
                        pattern = f"{head}{{:0{width}d}}{tail}" if width else f"{head}{{}}{tail}"
                        if names.issuperset(map(pattern.format, every)):
                            fitting.setdefault(pattern, paths[name])
            if fitting:
                self.files.refuse_several(f"image {every[0]}", list(fitting.values()))
                return next(iter(fitting))
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdecimal())


# A data set.

USUAL = "mapping.toml"
"""The file that describes the layout, where the user names no other."""


def read(
    root: Path,
    mapping: str = USUAL,
    part: str = "",
    images: str = "",
    image_name: str = "",
    files: str = "",
    **rules: Any,
) -> Collection:
    """Read a data set of the layout in the file `mapping`, there or below `root`.

    `part` is one of those that the layout names; `images` is the folder of the images, `image_name`
    how a number becomes a name ("{:012d}.jpg"); `files` names those to read, where several hold the
    same ("train.json,val.json"); `bad` says what to do with a record that cannot be
    used: "refuse" or "drop".
    Where no split is given, `val_share` and `test_share` of the images are drawn with `seed`.
    Raises BadConfig for a mapping that says too little, BadData for files of another form.
    """
    path = _own(root, mapping) or Path(mapping)
    if not path.is_file():
        hint = "Name the file that describes the layout: --option mapping=FILE.toml (docs/data.md)."
        raise BadData(f"holds no {mapping}", location=root, hint=hint)
    own = load(path)
    if own.parallel and not own.files:  # any of the files that belong together tells the others
        own = own.replace(files=next(iter(own.parallel.values())))
    return read_mapped("mapping", root, own, part, images, image_name, files, **rules)


def recognise(root: Path, mapping: str = USUAL) -> str | None:
    """A layout that the user gives, or that lies there."""
    if mapping != USUAL:
        return f"the layout is given as {mapping}"
    path = _own(root, USUAL)
    return f"there is {path.relative_to(root).as_posix()}" if path else None


def _own(root: Path, mapping: str) -> Path | None:
    """The file of a layout below `root`, or directly below a folder in it."""
    return next((p / mapping for p in (root, *folders_in(root)) if (p / mapping).is_file()), None)


def read_released(name: str, root: Path, **options: Any) -> Collection:
    """Read a released set below `root`; options as `read_mapped`."""
    layout = released(name)
    without = () if layout.files else claimed(root)
    return read_mapped(name, root, layout, without=without, **options)


def recognise_released(name: str, root: Path, part: str = "") -> str | None:
    """A file of the layout `name`; one without names of its own takes what no other one claims."""
    layout = released(name)
    if part in layout.parts or layout.part:
        layout, _ = _part(layout, part)
    _, found = matching_layout(root, layout, () if layout.files else claimed(root))
    return f"there is {found[0].path.relative_to(root).as_posix()}" if found else None


def read_mapped(
    name: str,
    root: Path,
    mapping: Mapping,
    part: str = "",
    images: str = "",
    image_name: str = "",
    files: str = "",
    without: Sequence[Path] = (),
    **rules: Any,
) -> Collection:
    """The data set `name` below `root`, in the layout `mapping`, but for the files `without`."""
    checked = as_rules(**rules)
    mapping, notes = _part(mapping, part)
    mapping, found = matching_layout(root, mapping, without)
    if not (mapping.image or mapping.image_id) or not (mapping.question or mapping.captions):
        hint = "Say image (or image_id), and question or captions."
        raise BadConfig("the mapping says too little", hint=hint)
    if image_name:
        mapping = _with_name(mapping, image_name)
    if not found:
        raise _holds_none(root, mapping, without)
    places = _Images(ImageFiles(root, images or None), mapping, own=name == "mapping")
    rows: list[Row] = []
    joining = _joining(root, mapping, found)
    if files:
        found = _chosen(root, found, joining, files)
    lists = [(f.path, f.split) for f in files_of(root, mapping.lists) if f.split]
    listed, named = listed_splits(lists, bare), set[str]()
    beside = [file.path for file in (*found, *(joining.others if joining else ()))]
    for file in found:
        records, faults, left = _records_of(root, file, joining, places, beside)
        rows += faults
        records, names, unlisted = _listed(_once(records, mapping), listed, mapping)
        named |= names
        notes += [*left, *unlisted]
        numbers = [n for _, r in records for n in taken(r, mapping.image_id)[:1]]
        rows += (
            row for place, record in records for row in _rows(file, place, record, places, numbers)
        )
    refuse_unnamed(listed, named, found[0].path)
    _refuse_silent(found, rows, places)
    if not mapping.files:
        _refuse_same(_all_files(root, found, joining), found, rows)
    if joining and not joining.join.all:
        notes += _idle(found, joining)
    found_all = collect(name, rows, str, places.files.root, checked, notes)
    return replace(found_all, shared_images=mapping.shared_images)


def _records_of(
    root: Path, file: File, joining: Joining | None, places: _Images, beside: Sequence[Path]
) -> tuple[Placed, list[Row], list[str]]:
    """The records of a file that are wanted, with what other files say of them, rows for those that
    cannot be read, and notes. `beside` are the files that are read as records.
    """
    mapping = places.mapping
    if joining:
        records = joined(mapping, file, joining)
    else:
        records = read_records(file, mapping, mapping.records)
    hint = RELEASED if mapping.lines else ""
    faults = [
        Row(file.path, place, {}, file.split, hint, record["$fault"])
        for place, record in records
        if "$fault" in record
    ]
    records = [(place, record) for place, record in records if "$fault" not in record]
    _refuse_twice(file.path, records, mapping.unique)
    asked = {*mapping.filter, *mapping.exclude} - places.gave
    places.gave |= {path for path in asked if any(taken(one, (path,)) for _, one in records)}
    records, notes = _wanted(records, file, mapping)
    records = _with_own_split(file, records, mapping)
    if not (mapping.files or places.own):
        records, named_by = _with_listed_images(root, file, records, mapping, beside)
        notes += named_by
    return records, faults, notes


def _joining(root: Path, mapping: Mapping, found: Sequence[File]) -> Joining | None:
    if mapping.join is None:
        return None
    joining = Joining(mapping.join, partners(root, mapping.join))
    joining.every = _all_files(root, found, joining)
    return joining


def _all_files(root: Path, found: Sequence[File], joining: Joining | None) -> list[str]:
    """The names of all files of a data set."""
    paths = [file.path for file in (*found, *(joining.others if joining else ()))]
    return [p.relative_to(root).as_posix() for p in dict.fromkeys(paths) if p.is_relative_to(root)]


def _chosen(root: Path, found: list[File], joining: Joining | None, given: str) -> list[File]:
    """The files that the user names, of records, and of what joins them, if one of these is named.
    Raises BadConfig for a name that is none of theirs.
    """
    every = _all_files(root, found, joining)
    paths = [root / one_of("files", n.strip(), every) for n in given.split(",") if n.strip()]
    if joining:
        joining.every = every
        joining.others = [f for f in joining.others if f.path in paths] or joining.others
    return [file for file in found if file.path in paths] or found


def _refuse_same(every: Sequence[str], found: Sequence[File], rows: Sequence[Row]) -> None:
    """Raise BadConfig where two files have captions of the same image, or the same question: one of
    them is a copy, or another version.
    """
    first: dict[tuple[Any, ...], Path] = {}
    for row in rows if len(found) > 1 else ():
        if row.fault or not isinstance(row.values["image"], str):
            continue
        split, image = row.split or word_of_split(row.values["split"]), row.values["image"]
        asked, number = row.values["question"], row.values["id"]
        keys: list[tuple[Any, ...]] = (
            [(split, "captions of", image)] if row.values["caption"] else []
        )
        if asked is not None:
            keys.append((split, f"the question {str(asked)[:40]!a} about", image, str(asked)))
            keys += [(split, "a question of the id", str(number))] if number is not None else []
        for key in keys:
            if (path := first.setdefault(key, row.location)) != row.location:
                files = {file.path: file for file in found}
                message = f"both have {key[1]} {key[2]}"
                raise one_too_many(every, files[path], files[row.location], message)


def _with_own_split(file: File, records: Placed, mapping: Mapping) -> Placed:
    """The records with the split of a field that has nothing but words of splits. Raises BadData
    where it has others, too, or another such field differs.
    """
    fields = () if any(taken(one, mapping.split) for _, one in records) else mapping.split_words
    found: dict[str, list[Split | None]] = {}
    flags: list[str] = []
    for field in fields:
        values = [next(iter(taken(one, (field,))), None) for _, one in records]
        said = [(field, v) for v in values if v is not None]
        flags += [field] if said and all(split_of_flag(*one) for one in said) else []
        if any(str(value).strip().lower() in SPLIT_WORDS for value in values):
            found[field] = [None if v is None else word_of_split(v) for v in values]
            for (place, _), value, split in zip(records, values, found[field], strict=True):
                if value is not None and split is None:
                    message = f"{place} has the {field} {ascii(value)[:40]}, others have splits"
                    hint = f"Write train, val or test; or say what it is: {BY_MAPPING}"
                    raise BadData(message, location=file.path, hint=hint)
    if flags and not (found or file.split):
        message = f"has {' and '.join(flags)} with nothing but flags, and says no split"
        hint = f'Write "split": "train", "val" or "test" into each record, or say it: {BY_MAPPING}'
        raise BadData(message, location=file.path, hint=hint)
    if len(set(map(tuple, found.values()))) > 1:
        message = f"says different splits in {' and '.join(found)}"
        hint = f"Leave one, called split, or say which: {BY_MAPPING}"
        raise BadData(message, location=file.path, hint=hint)
    splits = next(iter(found.values()), [None] * len(records))
    return [
        (place, {**one, "$split": split} if split else one)
        for (place, one), split in zip(records, splits, strict=True)
    ]


def _with_listed_images(
    root: Path, file: File, records: Placed, mapping: Mapping, without: Sequence[Path]
) -> tuple[Placed, list[str]]:
    """The records that only have the number of their image, with what a list beside them, none of
    the files `without`, says of it: its name, and its split. And a note.
    """
    number_of: dict[str, str] = {}
    for place, record in records:
        named = any(isinstance(name, str) for name in taken(record, mapping.image))
        if "$image" not in record and not named:
            number = key_of(next(iter(taken(record, mapping.image_id)), None))
            number_of |= {place: number} if number is not None else {}
    listed = images_by_id(root, number_of.values(), file.split, without) if number_of else {}
    found = []
    for place, record in records:
        more = {}
        if one := listed.get(number_of.get(place, "")):
            own = record.get("$split") or next(iter(taken(record, mapping.split)), None)
            if own and one.split and word_of_split(own) != one.split:
                message = f"{place} is of split {str(own)[:30]}, its image of {one.split}"
                hint = f"{one.path.name} says the other: mend one of them."
                raise BadData(message, location=file.path, hint=hint)
            more = {"$image": [one.name], "$split": own or one.split}
        found.append((place, {**record, **more}))
    lists = dict.fromkeys(one.path.name for one in listed.values())
    note = f"The images of {file.path.name} are those that {' and '.join(lists)} names."
    return found, [note] if lists else []


def _with_name(mapping: Mapping, image_name: str) -> Mapping:
    """The layout in which images have the name that the user gives."""
    field = next(iter(mapping.image_id), "image_id")
    given = re.sub(r"\{(?=[:}])", f"{{{field}", image_name)
    mapping = changed(mapping, None, {"image": given, "join": _without_images(mapping.join)})
    if {path for _, path, _, _ in Formatter().parse(given) if path is not None} != {field}:
        hint = "Write how the number stands in the name: --option image_name={:012d}.jpg."
        raise BadConfig(f"image_name={image_name} names no number", hint=hint)
    return mapping


def _without_images(join: Join | None) -> Join | None:
    """What joins, without the names of images."""
    return join and join.replace(image=(), join=_without_images(join.join))


def _holds_none(root: Path, mapping: Mapping, without: Sequence[Path]) -> BadData:
    """The error where no file has such records: perhaps all but the question or the captions."""
    near = (
        []
        if mapping.files
        else matching_files(root, mapping.replace(question=(), captions=()), without)
    )
    part = "question" if mapping.question else "captions"
    if near:
        return _leads_nowhere(near[0], mapping, part)
    signs = " and ".join(signs_of(mapping)) if not mapping.files else ""
    usual = ", ".join(mapping.files) or f"file of such records{signs and f', with {signs} in it'}"
    hint = "Check --root; `saccade list sources` shows the files of each source."
    return BadData(f"holds no {usual}", location=root, hint=hint)


def _idle(found: Sequence[File], joining: Joining) -> list[str]:
    """Notes about records that no file asked for."""
    every = ", ".join(file.path.name for file in found)
    return [
        f"{len(keys)} records of {path.name} belong to none of {every}."
        for path, keys in joining.idle.items()
        if keys
    ]


def _leads_nowhere(file: File, mapping: Mapping, part: str) -> BadData:
    """The error for a part that no record has."""
    message = f"has no record with what the mapping calls {part}"
    return BadData(message, location=file.path, hint=_nothing(file, mapping, part, "record 1"))


def _nothing(file: File, mapping: Mapping, part: str, place: str) -> str:
    """A hint: what the layout says of a part, and what a record has."""
    has = ", ".join(fields_at(file, mapping, place)) or "nothing"
    paths = " or ".join(getattr(mapping, part))
    return f'{part} = "{paths}" gives nothing; {place} has: {has[:200]}. Mapping: {BY_MAPPING}'


def _refuse_silent(found: Sequence[File], rows: Sequence[Row], places: _Images) -> None:
    """Raise BadData where some of several files say a split, and one says none, or two; and where
    a user's own layout has a question or captions that no record has.
    """
    mapping, known = places.mapping, [row for row in rows if not row.fault]
    for path in (*mapping.filter, *mapping.exclude) if places.own else ():
        if path not in places.gave:
            has = ", ".join(fields_at(found[0], mapping, "record 1")) or "nothing"
            message = f"has no record with the field {path!r}, which filter or exclude names"
            hint = f"record 1 has: {has[:200]}. Mend the mapping."
            raise BadData(message, location=found[0].path, hint=hint)
    secret = all((row.split or row.values["split"]) == "test" for row in known)
    silent_too = {"answers", "best_answer", "captions"} if secret else set()
    for part in places.parts if places.own and known else ():
        if part not in places.gave | silent_too:
            raise _leads_nowhere(found[0], mapping, part)
    if places.mapping.files:
        return
    open_ = {row.location for row in rows if not (row.fault or row.split or row.values["split"])}
    silent = [file.path for file in found if file.path in open_]
    about = [file.path.name for file in found if file.split or _A_SPLIT.search(file.path.stem)]
    if silent and about and len(found) > 1:
        others = ", ".join(file.path.name for file in found if file.path != silent[0])
        message = f"says no split in its name, or two; beside it are {others[:200]}"
        hint = "Name each after one of train, val and test, or move it away."
        raise BadData(message, location=silent[0], hint=hint)


_A_SPLIT = re.compile(r"(?i)train|(?<!la)test|valid|val(?![a-z])|(?<![a-z])dev(?![a-z])")
"""A split's word, or what looks like one: minitest, trainval."""


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
    return _everywhere(mapping, change), [f"Part {part} was read, one of: {known}."]


def _everywhere(mapping: Mapping, change: dict[str, Any]) -> Mapping:
    """The layout with other fields, and so those that it is otherwise."""
    other = mapping.otherwise
    mapping = mapping.replace(otherwise=_everywhere(other, change)) if other else mapping
    return changed(mapping, None, change)


def _wanted(records: Placed, file: File, mapping: Mapping) -> tuple[Placed, list[str]]:
    """Records that `filter` asks for and `exclude` does not, and notes about how many others."""
    notes = []
    replies = any(path.startswith("$next") for path in mapping.answers)
    asked = [(path, values, True) for path, values in mapping.filter.items()]
    asked += [(path, values, False) for path, values in mapping.exclude.items()]
    lost: list[tuple[int, str, bool]] = []
    for path, values, wanted in asked:
        whole, records = records, [one for one in records if wanted is _has(one[1], path, values)]
        if whole and not records and path in mapping.answers:
            raise BadData(f"has no record with {path}", location=file.path, hint=RELEASED)
        told = f"no {path.split(' + ')[0]}"
        told = f"{path} is {'not ' * wanted}{' or '.join(values)}" if values else told
        lost.append((len(whole) - len(records), told, replies and bool(values)))
    of = file.path.name
    if "." in mapping.records:  # turns of conversations, say
        of += f" ({mapping.records})"
    used = 0
    if any(turns for _, _, turns in lost):
        whole, records = records, [one for one in records if _is_answered(one[1], mapping)]
        lost.append((len(whole) - len(records), "no answer follows", False))
        used = sum(record.get("$next") is not None for _, record in records)
    for count, told, turns in lost:
        answers = min(used, count) if turns else 0  # what follows what is wanted was not left out
        used -= answers
        left = count - answers
        kept = f"{answers} records of {of} are the answers to those before them."
        notes += [in_number(kept)] if answers else []
        notes += [in_number(f"{left} records were left out of {of}: {told}.")] if left else []
    return records, notes


def _has(record: dict[str, Any], path: str, values: Sequence[str]) -> bool:
    """Has a record one of these values, or any, where there are none?"""
    return any(not values or _is_among(v, values) for v in taken(record, (path,))[:1])


def _is_answered(record: dict[str, Any], mapping: Mapping) -> bool:
    """May what follows a record be its answer? Nothing may follow in test files."""
    after = record.get("$next")
    if not isinstance(after, dict):
        return True
    asks = [_has(after, path, values) for path, values in mapping.filter.items() if values]
    return not (asks and all(asks)) and all(
        _has(after, path, values) for path, values in mapping.replies.items()
    )


def _is_among(value: Any, values: Sequence[str]) -> bool:
    """Is a value one of these, as text? True and true are the same."""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower() in map(str.lower, values)
    return text in values


def _once(records: Placed, mapping: Mapping) -> Placed:
    """The records without those that repeat a caption of their image, where layouts do."""
    if not mapping.once:
        return records
    return list(
        {str(_image_and_captions(one[1], mapping)): one for one in reversed(records)}.values()
    )[::-1]


def _image_and_captions(record: dict[str, Any], mapping: Mapping) -> tuple[list[Any], list[Any]]:
    """A record's image and its captions."""
    return taken(record, mapping.image or mapping.image_id), taken(record, mapping.captions)


def _listed(
    records: Placed, listed: MappingOf[str, Split], mapping: Mapping
) -> tuple[Placed, set[str], list[str]]:
    """The records of listed images with their `$split`, the images that are named, and a note about
    the other records.
    """
    if not listed:
        return records, set(), []
    names = [bare(str(next(iter(taken(record, mapping.image)), ""))) for _, record in records]
    kept = [
        (place, {**record, "$split": listed[name]})
        for name, (place, record) in zip(names, records, strict=True)
        if name in listed
    ]
    left = len(records) - len(kept)
    note = f"{left} records are of images in no split list and were left out."
    return kept, set(names), [note] if left else []


def _refuse_twice(path: Path, records: Placed, fields: Sequence[str]) -> None:
    known: set[Any] = set()
    for place, record in records if fields else ():
        key = next(iter(taken(record, fields)), None)
        if key is not None and key in known:
            message = f"{place} has {key} a second time"
            raise BadData(message, location=path, hint="Keep one record of each.")
        known.add(key)


_ONE = ("id", "image_id", "question", "split", "best_answer", "answer_type", "question_type")
"""Parts of a record that are one value, and below those that are several, as rows call them."""
_SEVERAL = {"answers": "answer", "captions": "caption", "choices": "choices"}


def _rows(
    file: File, place: str, record: dict[str, Any], places: _Images, numbers: Sequence[Any]
) -> Iterator[Row]:
    """A row for each image of a record."""
    mapping = places.mapping
    values: dict[str, Any] = {**dict.fromkeys(_ONE), "answer": [], "caption": [], "choices": []}
    for part in places.parts:
        found = _parts(record, mapping, part)
        places.gave |= {part} if found else set()
        values[_SEVERAL.get(part, part)] = found if part in _SEVERAL else next(iter(found), None)
    values["split"] = record.get("$split") or values["split"]
    if isinstance(question := values["question"], str) and mapping.remove:
        values["question"] = re.sub("|".join(map(re.escape, mapping.remove)), " ", question)
    number = values["image_id"]
    if number is not None and not is_json(file.path):
        # A table has text alone: a number that is written as one is one.
        is_number = isinstance(number, str) and re.fullmatch(r"0|[1-9]\d{0,17}", number, re.ASCII)
        values["image_id"] = number = int(number) if is_number else number
    alternatives = [names for path in mapping.image if (names := taken(record, (path,)))]
    alternatives = [record["$image"]] if "$image" in record else alternatives
    texts = [name for names in alternatives for name in names if isinstance(name, str)]
    guessed = not (mapping.files or places.own)  # an "image" there may be a number
    if not (texts if guessed else alternatives) and number is not None:
        alternatives = [[name] for name in places.names_of(number, file, numbers)]
    if file.split is None and split_in(said := str(values["split"])):
        file = file._replace(subset=said)  # its folder is the one of the images
    told = (values["question"], *values["answer"], *values["caption"], *values["choices"])
    lists = any(isinstance(value, list) for value in told)
    for place_of_image in range(max(map(len, alternatives), default=1)):
        names = [name[place_of_image] for name in alternatives if place_of_image < len(name)]
        names = [n[0] if isinstance(n, list) and len(n) == 1 else n for n in names]
        texts = [
            name.replace("\\", "/") for name in names if isinstance(name, str) and name.strip()
        ]
        files = [text for text in texts if not is_address(text)]
        image = places.find(files, file) if files else next(iter(texts or names), None)
        if texts and not files:
            image = places.of_address(texts[0], file) or image
        asks = not texts or (places.own and lists)
        hint = _hint(file, place, record, places) if asks else ""
        hint = hint or (NUMBERED if texts and not files and number is not None else "")
        yield Row(file.path, place, {**values, "image": image}, file.split, hint)


def _hint(file: File, place: str, record: dict[str, Any], places: _Images) -> str:
    """What to mend in the layout, where a part is a list that should be a text, or no image is."""
    mapping = places.mapping
    for part in ("image", "question", "answers", "captions", "choices"):
        for path in getattr(mapping, part) if places.own else ():
            if any(isinstance(value, list) for value in taken(record, (path,))):
                return f'{part} = "{path}" is a list; a mapping with "{path}[]" takes each of it.'
    if file.path in places.told:  # once: the file is read again
        return ""
    places.told.add(file.path)
    part = "image" if mapping.image else "image_id"
    return _nothing(file, mapping, part, place)


def _parts(record: dict[str, Any], mapping: Mapping, part: str) -> list[Any]:
    """What a record says of a part, in words."""
    found = taken(record, getattr(mapping, part))
    if part == "answers" and mapping.separator:
        texts = (one.split(mapping.separator) if isinstance(one, str) else [one] for one in found)
        found = [text for several in texts for text in several]
    words = mapping.words.get(part)
    return [words.get(str(value), value) for value in found] if words else found
