"""What of a PitVQA video is cut already: `cut.journal` beside its pictures.

Lines of JSON. The first says which video it is (size, time of change) and how it is cut; each
picture adds one once it is safely on disk, with its time in the video; the last says how many
there are. A picture without a line does not count, nor does the journal of another video.
"""

import json
import os
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Self

from saccade.core.files import write_text

NAME = "cut.journal"


class Journal:
    """The pictures of one folder that are whole. Opened for writing by a `with` statement."""

    def __init__(self, video: Path, out: Path, how: dict[str, Any]) -> None:
        """Read what is there about `video` in `out`, cut as `how` says; else nothing is."""
        stat = video.stat()
        self._path = out / NAME
        self._about = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, **how}
        head, *lines = _read(self._path) or [{}]
        if head != self._about:
            lines = []
        self.times: dict[int, int | None] = {
            line["second"]: line["time"]
            for line in lines
            if line.keys() == {"second", "time"} and (out / _name(line["second"])).is_file()
        }
        """Time stamp of the frame, in units of the stream, of each second that is there; None
        where the video has none."""
        self.count: int | None = next(
            (line["count"] for line in lines if line.keys() == {"count"}), None
        )
        """Pictures of the whole video, if it was cut to its end."""

    @property
    def complete(self) -> bool:
        """Is every picture of the video there?"""
        return self.count is not None and self.first_missing >= self.count

    @property
    def first_missing(self) -> int:
        """The first second without a picture, as far as is known."""
        return next(second for second in range(len(self.times) + 1) if second not in self.times)

    def path_of(self, second: int) -> Path:
        """Where the picture of a second is, or will be."""
        return self._path.with_name(_name(second))

    def __enter__(self) -> Self:
        """Write anew what counts, and go on behind it."""
        known = [{"second": second, "time": time} for second, time in sorted(self.times.items())]
        text = "".join(json.dumps(line) + "\n" for line in [self._about, *known])
        write_text(self._path, text)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, second: int, time: int | None) -> None:
        """Note that the picture of a second is on disk."""
        self.times[second] = time
        self._write({"second": second, "time": time})

    def finish(self, count: int) -> None:
        """Note that the video has no more than `count` pictures, and all are there."""
        self.count = count
        self._write({"count": count})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _name(second: int) -> str:
    return f"{second:05}.png"


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that is none: a crash may have cut it off."""
    lines = []
    try:
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            line = json.loads(text)
            whole = [value for key, value in line.items() if key not in ("view", "time")]
            if set(map(type, whole)) - {int} or type(line.get("time")) not in (int, NoneType):
                break
            lines.append(line)
    except (OSError, ValueError, AttributeError, RecursionError):  # not there, no JSON, no object
        pass
    return lines
