"""`saccade download`: public data sets from their makers' own servers.

`downloads.json` in the target folder records what came, from where and with which SHA-256: the same
command again fetches only what is missing, and notices a file that has changed, here or there.
Archives are unpacked and kept; they may be deleted, what they held is not fetched again.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from saccade.core.console import say
from saccade.core.errors import BadDownload
from saccade.core.files import disk_errors, free_bytes, held, sha256_of, write_json
from saccade.core.formatting import size_in_words
from saccade.core.tables import Table
from saccade.datasets.downloads import DOWNLOADS, Download, File
from saccade.transfer.archives import ENDINGS, MOVE_AWAY, is_whole, unpack
from saccade.transfer.http import Patience, Wanted, checked_mirror, fetch
from saccade.transfer.pieces import bar

RECORD = "downloads.json"
Tell = Callable[[str], None]


def download(
    names: Sequence[str],
    to: Path,
    *,
    mirrors: Sequence[str] = (),
    tell: Tell = lambda _: None,
    patience: Patience | None = None,
) -> None:
    """Fetch sets of `datasets.downloads.DOWNLOADS` below `to` and unpack them.

    `mirrors` are folders on the web that are tried before the makers' addresses. `tell` is given
    every line for the user, and the steps to sets that must be fetched by hand, which are no error.
    Raises BadConfig for names that are not in the table, BadDownload for what cannot be fetched or
    is not what it was.
    """
    table = Table("download", DOWNLOADS)
    sets = [(name, table.look_up(name)) for name in dict.fromkeys(names)]
    before = [checked_mirror(url) for url in mirrors]
    for name, line in sets:
        tell(f"{name}: {line.summary}. Licence: {line.licence}")
    files = [file for _, line in sets for file in line.files]
    alone = held(BadDownload, to, "download", "--to") if files else nullcontext()
    with disk_errors(BadDownload, to, "--to"), alone:
        record = _read_record(to) if files else {}
        for file in files:
            _one(file, to, record, before, tell, patience)
    for name, line in sets:
        for step in _steps(name, line, to):
            tell(step)
        if line.files:
            tell(f"{name} is in {to}. Next: {_in_place(line.then, to)}")
    if by_hand := [name for name, line in sets if line.steps]:
        rest = f"; all else that was named is in {to}" if files else ""
        tell(f"Left to you, by the steps above: {', '.join(by_hand)}{rest}.")


def plan(names: Sequence[str], to: Path, mirrors: Sequence[str] = ()) -> Iterator[str]:
    """Lines that say what `download` would fetch; nothing is asked of the network.

    Raises BadConfig for names that are not in the table.
    """
    table = Table("download", DOWNLOADS)
    sets = [(name, table.look_up(name)) for name in dict.fromkeys(names)]
    before = [checked_mirror(url) for url in mirrors]
    record = _read_record(to)
    missing: list[File] = []
    for name, line in sets:
        yield f"{name}: {line.summary}"
        yield f"  licence: {line.licence}"
        for file in line.files:
            there = (to / file.name).exists() or _is_unpacked(file, to, record)
            missing += [] if there else [file]
            about = "" if file.sha256 or file.bytes is None else "about "
            place = f", unpacked to {to / file.into}" if _is_archive(file) else ""
            kept = ", there already" if there else ""
            yield f"  {file.name}: {about}{size_in_words(file.bytes)}{place}{kept}"
            for number, url in enumerate(_urls(file, before)):
                yield f"    {'or' if number else 'from'} {url}"
            digest = "not known: the server packs it anew each time"
            if file.steady:
                digest = "not published: the first to come is noted, later ones must be the same"
            if file.sha256:
                digest = f"{file.sha256} ({file.sha256_from})"
            yield f"    SHA-256 {digest}"
        yield from _steps(name, line, to)
        if line.files:
            yield f"  Next: {_in_place(line.then, to)}"
    known = [file.bytes for file in missing if file.bytes is not None]
    unknown = len(missing) - len(known)
    parts = [size_in_words(sum(known))] if known else []
    parts += [f"{unknown} file{'s' if unknown > 1 else ''} of unknown size"] if unknown else []
    free = size_in_words(free_bytes(to))
    yield f"To fetch to {to}: {' and '.join(parts) or 'nothing'}; {free} are free there."
    if any(_is_archive(file) for file in missing):
        yield "Archives are unpacked and kept: there must be room for both."
    if any(line.files for _, line in sets):
        yield (
            "These addresses are published, but this project has fetched nothing from them. Where "
            "one has moved, --mirror https://HOST/FOLDER names a folder that holds the same files."
        )


def _steps(name: str, line: Download, to: Path) -> Iterator[str]:
    if line.steps:
        yield f"{name} is not fetched for you, since {line.why}. By hand:"
        for number, step in enumerate(line.steps, start=1):
            yield f"  {number}. {_in_place(step, to)}"
        yield f"  {len(line.steps) + 1}. {_in_place(line.then, to)}"


def _in_place(words: str, to: Path) -> str:
    """A line of the table with the user's folder in it."""
    return words.replace("DIR", shlex.quote(str(to)))


def _one(
    file: File,
    to: Path,
    record: dict[str, Any],
    mirrors: Sequence[str],
    tell: Tell,
    patience: Patience | None,
) -> None:
    path, before = to / file.name, record.get(file.name, {})
    known = file.sha256 or before.get("sha256")
    if not path.exists() and _is_unpacked(file, to, record):
        tell(f"{file.name}: unpacked before")
        return
    if path.exists():
        found = sha256_of(path)
        if known and found != known:
            message = f"is not the file that is known: its SHA-256 is {found}, not {known}"
            raise BadDownload(message, location=path, hint=MOVE_AWAY)
        entry = {**before, "bytes": path.stat().st_size, "sha256": found}
        tell(f"{file.name}: there already{'' if known else ', with nothing known to check it by'}")
    else:
        known = known if file.steady else file.sha256
        wanted = Wanted(_urls(file, mirrors), known, before.get("bytes", file.bytes))
        try:
            with bar(file.name) as show:
                came = fetch(wanted, path, patience, show, say)
        except BadDownload as error:
            hint = error.hint
            if known and not file.sha256:
                hint += f" If a newer version is meant, delete its entry in {to / RECORD}."
            raise BadDownload(error.message, location=error.location, hint=hint) from None
        if _is_archive(file) and not is_whole(path):
            path.unlink()
            hint = "Its makers may have moved it; if you know where to, give --mirror URL."
            raise BadDownload(f"{came.url} sent no {path.suffix} file", location=path, hint=hint)
        entry = {**came._asdict(), "checked": "published" if file.sha256 else "seen first"}
        tell(f"{file.name}: {size_in_words(came.bytes)} from {came.url}, SHA-256 {came.sha256}")
    record[file.name] = entry
    _write_record(to, record)
    if _is_archive(file) and not _is_unpacked(file, to, record):
        entry["unpacked"] = unpack(path, to / file.into)
        _write_record(to, record)
        tell(f"{file.name}: unpacked to {to / file.into}: {', '.join(entry['unpacked'][:8])}")


def _is_archive(file: File) -> bool:
    return file.unpacks and file.name.endswith(ENDINGS)


def _is_unpacked(file: File, to: Path, record: dict[str, Any]) -> bool:
    names = record.get(file.name, {}).get("unpacked", [])
    return bool(names) and all((to / file.into / name).exists() for name in names)


def _urls(file: File, mirrors: Iterable[str]) -> tuple[str, ...]:
    return (*(f"{mirror}/{quote(file.name)}" for mirror in mirrors), *file.urls)


def _read_record(to: Path) -> dict[str, Any]:
    path = to / RECORD
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        if not all(isinstance(entry, dict) for entry in files.values()):
            raise TypeError
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        hint = "Restore it, or move it away: it will be made anew."
        raise BadDownload("cannot be read", location=path, hint=hint) from None
    return dict(files)


def _write_record(to: Path, record: dict[str, Any]) -> None:
    write_json(to / RECORD, {"format": 1, "files": dict(sorted(record.items()))})
