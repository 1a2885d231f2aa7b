"""Files of predictions: written row by row, and the unfinished one that a killed run goes on with.

Neither torch nor Arrow is imported here before a Parquet file is written.
"""

import csv
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from os.path import samefile
from pathlib import Path
from typing import Any

from saccade.core.errors import BadConfig, BadData
from saccade.core.files import in_one_go, lock, to_disk

Row = Mapping[str, Any]
JOURNAL, SKIPPED = ".partial", ".skipped.json"
"""Behind the name of the file of predictions: what a killed run goes on with, and the images that
could not be read."""
AT_ONCE = 2**13
"""Rows of a Parquet file that are laid out together."""


def _write_json(part: Path, rows: Iterable[Row]) -> None:
    with part.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            file.write(f"{',' if number else '['}\n{json.dumps(row, ensure_ascii=False)}")
        file.write("\n]\n")


def _write_lines(part: Path, rows: Iterable[Row]) -> None:
    with part.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _write_csv(part: Path, rows: Iterable[Row]) -> None:
    rows = iter(rows)
    first = next(rows)
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        for row in chain([first], rows):
            cells = {n: " ".join(v) if isinstance(v, list) else v for n, v in row.items()}
            writer.writerow(cells)


def _write_parquet(part: Path, rows: Iterable[Row]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = iter(rows)
    first = next(rows)
    kinds = {int: pa.int64(), float: pa.float64(), list: pa.list_(pa.string())}
    schema = pa.schema([(n, kinds.get(type(value), pa.string())) for n, value in first.items()])
    rows = chain([first], rows)
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        while some := list(islice(rows, AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema))


WRITERS: Mapping[str, Callable[[Path, Iterable[Row]], None]] = {
    ".json": _write_json,
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""By the ending of the file's name."""


def beside(out: Path, ending: str) -> Path:
    """The path of `JOURNAL` or `SKIPPED` of a file of predictions."""
    return out.with_name(out.name + ending)


def check_name(out: Path, server: str | None) -> None:
    """Raise BadConfig for a file whose ending says no form; a server's file may be a folder's."""
    allowed = (".json", "") if server else tuple(WRITERS)
    if out.suffix.lower() not in allowed:
        hint = f"Endings that say one: {', '.join(WRITERS)}."
        if server:
            hint = f"--for {server} writes JSON: give a .json file, or a folder."
        raise BadConfig("this ending says no form of a file", location=out, hint=hint)
    if out.suffix and out.is_dir():
        raise BadConfig("is a folder", location=out, hint="Give the name of a file.")


def write_predictions(out: Path, rows: Iterable[Row]) -> None:
    """Write rows, at least one, in the form that the file's ending says, in one go."""
    with in_one_go(out) as part:
        WRITERS[out.suffix.lower()](part, rows)


class Journal:
    """The predictions that were made so far, a line of JSON each, beside the file to be written.

    Only whole lines count: what a kill cut off is made again.
    """

    def __init__(self, path: Path, about: Row) -> None:
        """Begin a journal, or go on with one. `about` names what predictions depend on.

        Raises BadData where it was begun with anything else, or another process writes it.
        """
        self.path = path
        self._file = path.open("a+b")
        if not lock(self._file) or not path.exists() or not samefile(path, self._file.fileno()):
            self._file.close()  # the other process may just have ended, and removed it
            message = "another process writes these predictions"
            raise BadData(message, location=path, hint="Wait for it, or give another --out.")
        self._file.seek(0)
        head = self._file.readline()
        if not head.endswith(b"\n"):
            self._file.truncate(0)
            head = f"{json.dumps(about)}\n".encode()
            self._file.write(head)
        self._refuse_other(head, about)
        self._begins = array("q")
        self._end = len(head)
        for line in self._file:
            if line.endswith(b"\n"):
                self._begins.append(self._end)
                self._end += len(line)
        self._file.truncate(self._end)

    def _refuse_other(self, head: bytes, about: Row) -> None:
        try:
            begun = json.loads(head)
            other = [name for name, value in about.items() if begun[name] != value]
        except (ValueError, LookupError, TypeError, RecursionError):
            other = ["version of saccade"]
        if other:
            self._file.close()
            message = f"was begun with other {' and '.join(other)}"
            hint = "Delete it to begin anew, or give another --out."
            raise BadData(message, location=self.path, hint=hint)

    def __len__(self) -> int:
        return len(self._begins)

    def keep(self, count: int) -> None:
        """Go on behind the first `count` lines; the others are made again."""
        if count < len(self):
            self._end = self._begins[count]
            del self._begins[count:]
            self._file.truncate(self._end)

    def add(self, entries: Iterable[Row]) -> None:
        """Write some lines; they outlive this process, however it ends."""
        for entry in entries:
            line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode()
            self._begins.append(self._end)
            self._end += len(line)
            self._file.write(line)
        self._file.flush()

    def read(self, order: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The entries of these lines. Raises BadData for one that is damaged."""
        for number in order:
            self._file.seek(self._begins[number])
            try:
                entry = json.loads(self._file.readline())
                assert isinstance(entry["text"], str)
            except (ValueError, LookupError, TypeError, AssertionError, RecursionError):
                message = f"line {number + 2} is damaged"
                hint = "Delete the file and give the same command again."
                raise BadData(message, location=self.path, hint=hint) from None
            yield entry

    def sync(self) -> None:
        """Wait until all is on the disk."""
        to_disk(self._file)

    def close(self) -> None:
        """Close the file; one without predictions is removed."""
        if not self._file.closed and not len(self):
            self.path.unlink(missing_ok=True)  # while it is locked: the next one may be another's
        self._file.close()

    def remove(self) -> None:
        """Close and remove the file: its predictions are where they belong."""
        self.keep(0)
        self.close()
