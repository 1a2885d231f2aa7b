"""PitVQA's images from its videos: one a second, the round view cut out, 224 pixels a side.

An image is named by its second: `video_01/00042.png`. The view is the square (295, 50, 935, 690) of
an image of 1280 by 720, resized bicubically. Which frame is a second's, there are two ways to say:

- by *count*, as published with PitVQA (He et al. 2024): the frame whose number is the second times
  the frame rate, rounded up. Where the rate is no whole number, or varies, that drifts away.
- by *time*: the frame that is shown at that second of the stream's own clock. One that is shown for
  long stands for several seconds; the first frame stands for the second in which it begins.

A stopped run goes on where it stood: a journal beside the images says what is there. The video is
entered at the key frame before the last image in a row; if the frame of that image's time then
gives that image again, all goes on from it. Where it does not (some containers, AVI among
them, cannot be entered exactly), the video is decoded from its start; whole images stay.
"""

import json
import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Self

from PIL import Image

from saccade.core.errors import BadData, SaccadeWarning
from saccade.core.files import in_one_go, write_text
from saccade.core.tables import optional_package

NAME = "cut.journal"


class Journal:
    """The images of one folder that are whole (`cut.journal`). A `with` statement opens it for
    writing.
    """

    def __init__(self, video: Path, out: Path, how: dict[str, Any]) -> None:
        """Read what is there about `video` in `out`, cut as `how` says; else nothing is.

        Raises BadData where images are there that were cut in the other way.
        """
        stat = video.stat()
        self._path = out / NAME
        self._about = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, **how}
        lines: list[dict[str, Any]] = []
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            # Up to the first line that is none of ours: a crash may have cut it off.
            for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                line = json.loads(text)
                whole = [value for key, value in line.items() if key not in ("view", "time", "by")]
                if set(map(type, whole)) - {int} or type(line.get("time")) not in (int, NoneType):
                    break
                lines.append(line)
        self._older: list[Path] = []
        if lines[:1] != [self._about]:  # of another video, or cut otherwise
            paths = [self.path_of(line["second"]) for line in lines if "second" in line]
            self._older = [path for path in paths if path.is_file()]
            if self._older and lines[0].get("by") != how.get("by"):
                other = lines[0].get("by", "count")
                message = f"holds {len(self._older):,} images that were cut by {other}"
                hint = f"Give --by {other} to go on with them, or another folder: --out."
                raise BadData(message, location=out, hint=hint)
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
        """Write anew what counts, and go on behind it; images of the video as it was go."""
        for path in self._older:
            path.unlink(missing_ok=True)
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
VIDEOS = 25
"""Of PitVQA, one of each operation."""
By = Literal["count", "time"]
HOW: dict[By, dict[str, str]] = {"count": {}, "time": {"by": "time"}}
"""What the journal says of each way; nothing of the older one."""
FAR = 0.5
"""Seconds between an image and its name that are told."""
PAUSE = 3600
"""Seconds without a frame, at most: each would be an image."""
ENDINGS = (".mp4", ".mkv", ".mov", ".avi")


def cut_videos(videos: Path, out: Path, by: By | None = None) -> Iterator[tuple[str, int]]:
    """Cut a video, or all of a folder, into `out/video_01/` ...; gives each folder and its count.

    `by` is by default "count" for a file named as PitVQA's are (`video_01`), and "time" for others,
    whatever else is in the folder: each video is always cut in the same way. A video
    that is cut already is passed over at once, unless its size or time of change is another now.
    Raises BadData for a file that is no such video, BadConfig where PyAV is not installed.
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
        if not 1 <= number <= VIDEOS or numbers.count(number) > 1:
            message = "is not named after one operation, 01 to 25, as video_01.mp4 is"
            raise BadData(message, location=video, hint="Rename it, or move it away.")
    for video, number in zip(found, numbers, strict=True):
        folder = f"video_{number:02}"
        usual: By = "count" if video.stem == folder else "time"
        yield folder, cut_video(video, out / folder, by or usual)


def cut_video(video: Path, out: Path, by: By = "count") -> int:
    """Write one image a second of one video into `out`; returns how many there are.

    Warns where an image shows what was more than half a second away from the second that names it,
    or, by time, where counting would have done so.
    """
    av = _av()
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(video, out, {"view": list(VIEW), "side": SIDE, **HOW[by]})
    if journal.count is not None and len(journal.times) >= journal.count:
        return len(journal.times)
    second, again, counted = -1, "Copy or download it again.", dict[int, float]()
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise BadData("has no images, only sound", location=video, hint="Is it the video?")
            average = container.streams.video[0].average_rate
        if not average:
            message = "does not say how many images a second it has"
            raise BadData(message, location=video, hint=again)
        rate = math.ceil(average)
        seconds = _by_time(video, rate, journal, counted) if by == "time" else None
        with journal:
            for second, frame in seconds or _by_count(video, rate, journal):
                if second not in journal.times:
                    with in_one_go(journal.path_of(second)) as part:
                        _view(frame, video).save(part, format="PNG")
                    journal.add(second, frame.pts)
                if by == "count" and frame.pts is not None:
                    counted[second] = float(_time(frame))
            if journal.times:
                journal.finish(len(journal.times))
    except av.FFmpegError as error:
        message = f"cannot be read as a video behind second {max(second, 0)} ({error})"
        hint = f"Compare its size with the source. {again}"
        raise BadData(message, location=video, hint=hint) from None
    if not journal.times:
        raise BadData("holds no image", location=video, hint=again)
    _tell_drift(video, by, counted)
    return len(journal.times)


def _tell_drift(video: Path, by: By, counted: dict[int, float]) -> None:
    """Warn where counting leads more than half a second away from the second."""
    away = {second: time - second for second, time in counted.items()}
    far = [second for second, by_how_much in away.items() if abs(by_how_much) > FAR]
    if far:
        worst = max(far, key=lambda second: abs(away[second]))
        message = f"{video}: counting frames gives image {worst} what is shown at"
        message += f" {counted[worst]:.2f} s, and is over {FAR} s away from image {far[0]} on; "
        here = "--by time takes each frame's own time" if by == "count" else "here time was taken"
        warnings.warn(message + here + ".", SaccadeWarning, stacklevel=3)


def _by_count(video: Path, rate: int, journal: Journal) -> Iterator[tuple[int, Any]]:
    """Second and frame: each frame whose number the rate divides."""
    for number, frame in _frames(video, rate, journal):
        if number % rate == 0:
            yield number // rate, frame


def _by_time(
    video: Path, rate: int, journal: Journal, counted: dict[int, float]
) -> Iterator[tuple[int, Any]]:
    """Second and frame: the frame that is shown then, the last one whose time has come.

    Fills `counted`: the time of each frame that `_by_count` would give.
    """
    shown, second, whole = None, 0, journal.first_missing == 0
    for number, frame in _frames(video, rate, journal):
        if frame.pts is None:
            hint = "Give --by count, and see that the frame rate is even."
            raise BadData("does not say when its frames are shown", location=video, hint=hint)
        time = _time(frame)
        if whole and number % rate == 0:
            counted[number // rate] = float(time)
        if shown is None:
            second = max(math.floor(time), 0)
            if time > second:  # the video begins within this second
                yield second, frame
                second += 1
        elif time - _time(shown) > PAUSE:
            message = f"has a pause of {float(time - _time(shown)):.0f} s at {float(time):.0f} s"
            raise BadData(message, location=video, hint="Is it whole? Copy it again, or cut it.")
        while shown is not None and second < time:
            yield second, shown
            second += 1
        shown = frame
    while shown is not None and second <= _time(shown):
        yield second, shown
        second += 1


def _time(frame: Any) -> Fraction:
    """Seconds on the stream's own clock."""
    return Fraction(frame.pts * frame.time_base)


def _frames(video: Path, rate: int, journal: Journal) -> Iterator[tuple[int, Any]]:
    """Number and frame: all of the video, or those from the last image in a row on, whose number
    is that of an image that was counted.
    """
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
