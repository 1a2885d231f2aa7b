"""PitVQA's images from its videos: one a second, the round view cut out, 224 pixels a side.

A frame is kept where its number is divided by the frame rate (rounded up); it is the second's
number that names it: `video_01/00042.png`. The view is the square (295, 50, 935, 690) of an image
of 1280 by 720, resized bicubically. Source: the preparation published with PitVQA (He et al. 2024).

A stopped run goes on where it stood: a journal beside the images says what is there. The video is
entered at the key frame before the last image in a row; if the frame of that image's time then
gives that image again, frames are counted from it. Where it does not (some containers, AVI among
them, cannot be entered exactly), the video is decoded from its start; whole images stay.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, Self

from PIL import Image

from saccade.core.errors import BadData
from saccade.core.files import in_one_go, write_text
from saccade.core.tables import optional_package

NAME = "cut.journal"


class Journal:
    """The images of one folder that are whole (`cut.journal`). A `with` statement opens it for
    writing.
    """

    def __init__(self, video: Path, out: Path, how: dict[str, Any]) -> None:
        """Read what is there about `video` in `out`, cut as `how` says; else nothing is."""
        stat = video.stat()
        self._path = out / NAME
        self._about = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, **how}
        lines: list[dict[str, Any]] = []
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            # Up to the first line that is none of ours: a crash may have cut it off.
            for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                line = json.loads(text)
                whole = [value for key, value in line.items() if key not in ("view", "time")]
                if set(map(type, whole)) - {int} or type(line.get("time")) not in (int, NoneType):
                    break
                lines.append(line)
        if lines[:1] != [self._about]:
            lines = []
        self.times: dict[int, int | None] = {
            line["second"]: line["time"]
            for line in lines[1:]
            if line.keys() == {"second", "time"} and self.path_of(line["second"]).is_file()
        }
        """Time stamp of the frame, in units of the stream, of each second that is there; None
        where the video has none."""
        self.count: int | None = next(
            (line["count"] for line in lines[1:] if line.keys() == {"count"}), None
        )
        """Images of the whole video, if it was cut to its end."""

    @property
    def first_missing(self) -> int:
        """The first second without an image, as far as is known."""
        return next(second for second in range(len(self.times) + 1) if second not in self.times)

    def path_of(self, second: int) -> Path:
        """Path of the image of a second, there or not."""
        return self._path.with_name(f"{second:05}.png")

    def __enter__(self) -> Self:
        """Write anew what counts, and go on behind it."""
        known = [{"second": second, "time": time} for second, time in sorted(self.times.items())]
        text = "".join(json.dumps(line) + "\n" for line in [self._about, *known])
        write_text(self._path, text)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, second: int, time: int | None) -> None:
        """Note that the image of a second is on disk."""
        self.times[second] = time
        self._write({"second": second, "time": time})

    def finish(self, count: int) -> None:
        """Note that the video has no more than `count` images, and all are there."""
        self.count = count
        self._write({"count": count})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


VIEW = (295, 50, 935, 690)
"""Left, top, right and bottom edge of the round view, in pixels."""
SIDE = 224
ENDINGS = (".mp4", ".mkv", ".mov", ".avi")


def cut_videos(videos: Path, out: Path) -> Iterator[tuple[str, int]]:
    """Cut a video, or all of a folder, into `out/video_01/` ...; gives each folder and its count.

    A video that is cut already is passed over at once, unless its size or time of change is
    another now. Raises BadData for a file that is no such video, BadConfig where PyAV is not
    installed.
    """
    _av()
    found = [videos]
    if videos.is_dir():
        found = sorted(path for path in videos.iterdir() if path.suffix.lower() in ENDINGS)
    if not found or not found[0].exists():
        endings = ", ".join(ENDINGS)
        hint = f"Give a video, or the folder of video_01.mp4 to video_25.mp4 ({endings})."
        raise BadData("holds no video", location=videos, hint=hint)
    matches = [re.fullmatch(r".*?(\d{1,2})", path.stem) for path in found]
    numbers = [int(match[1]) if match else 0 for match in matches]
    for video, number in zip(found, numbers, strict=True):
        if not 1 <= number <= 25 or numbers.count(number) > 1:
            message = "is not named after one operation, 01 to 25, as video_01.mp4 is"
            raise BadData(message, location=video, hint="Rename it, or move it away.")
    for video, number in zip(found, numbers, strict=True):
        folder = f"video_{number:02}"
        yield folder, cut_video(video, out / folder)


def cut_video(video: Path, out: Path) -> int:
    """Write one image a second of one video into `out`; returns how many there are."""
    av = _av()
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(video, out, {"view": list(VIEW), "side": SIDE})
    if journal.count is not None and journal.first_missing >= journal.count:
        return len(journal.times)
    second, again = -1, "Copy or download it again."
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise BadData("has no images, only sound", location=video, hint="Is it the video?")
            average = container.streams.video[0].average_rate
        if not average:
            message = "does not say how many images a second it has"
            raise BadData(message, location=video, hint=again)
        rate = math.ceil(average)
        with journal:
            for number, frame in _frames(video, rate, journal):
                if number % rate:
                    continue
                second = number // rate
                if second not in journal.times:
                    with in_one_go(journal.path_of(second)) as part:
                        _view(frame, video).save(part, format="PNG")
                    journal.add(second, frame.pts)
            count = second + 1
            if count:
                journal.finish(count)
    except av.FFmpegError as error:
        message = f"cannot be read as a video behind second {max(second, 0)} ({error})"
        hint = f"Compare its size with the source. {again}"
        raise BadData(message, location=video, hint=hint) from None
    if not count:
        raise BadData("holds no image", location=video, hint=again)
    return count


def _frames(video: Path, rate: int, journal: Journal) -> Iterator[tuple[int, Any]]:
    """Number and frame: all of the video, or those from the last image in a row on."""
    last = journal.first_missing - 1
    if last >= 0:
        with _av().open(str(video)) as container:
            frames = _decoded_from(container, journal.times[last])
            if found := next(frames, None):
                same = False
                with suppress(OSError), Image.open(journal.path_of(last)) as image:
                    same = image.tobytes() == _view(found, video).tobytes()
                if same:
                    yield from enumerate(chain([found], frames), start=last * rate)
                    return
        del journal.times[last]  # made again, should it be the image that is wrong
    with _av().open(str(video)) as container:
        yield from enumerate(_decoded(container))


def _decoded_from(container: Any, time: int | None) -> Iterator[Any]:
    """The frames from that of a time stamp on; none where it is not met exactly."""
    if time is None:
        return
    try:
        container.seek(time, stream=container.streams.video[0])  # the key frame at or before it
    except _av().FFmpegError:
        return
    frames = _decoded(container)
    first = next((frame for frame in frames if frame.pts is None or frame.pts >= time), None)
    if first and first.pts == time:
        yield first
        yield from frames


def _decoded(container: Any) -> Iterator[Any]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    frames: Iterator[Any] = container.decode(stream)
    return frames


def _view(frame: Any, video: Path) -> Image.Image:
    """The round view of one frame; frames of another shape are not PitVQA's."""
    if (frame.width, frame.height) != (1280, 720):
        message = f"has images of {frame.width} by {frame.height}, not 1280 by 720"
        hint = "Take the videos as released: the view is cut out at fixed pixels."
        raise BadData(message, location=video, hint=hint)
    image: Image.Image = frame.to_image()
    return image.crop(VIEW).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _av() -> Any:
    return optional_package("av", "video", "reading videos needs the package PyAV (av)")
