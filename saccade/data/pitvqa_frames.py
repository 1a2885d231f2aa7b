"""PitVQA's pictures from its videos: one a second, the round view cut out, 224 pixels a side.

A frame is kept where its number is divided by the frame rate (rounded up); it is the second's
number that names it: `video_01/00042.png`. The view is the square (295, 50, 935, 690) of a picture
of 1280 by 720, resized bicubically. Source: the preparation published with PitVQA (He et al. 2024).
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from saccade.errors import BadConfig, BadData

VIEW = (295, 50, 935, 690)
"""Left, top, right and bottom edge of the round view, in pixels."""
SIDE = 224
ENDINGS = (".mp4", ".mkv", ".mov", ".avi")


def cut_videos(videos: Path, out: Path) -> Iterator[tuple[str, int]]:
    """Cut a video, or all of a folder, into `out/video_01/` ...; gives each folder and its count.

    Pictures that are there already are kept, so a stopped run goes on where it stood. Raises
    BadData for a file that is no such video, BadConfig where PyAV is not installed.
    """
    _av()
    for video in _videos(videos):
        folder = f"video_{int(_number(video)):02}"
        yield folder, cut_video(video, out / folder)


def cut_video(video: Path, out: Path) -> int:
    """Write one picture a second of one video into `out`; returns how many there are."""
    av = _av()
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise BadData("has no pictures, only sound", where=video, cure="Is it the video?")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if not stream.average_rate:
                cure = "Copy or download it again."
                raise BadData(
                    "does not say how many pictures a second it has", where=video, cure=cure
                )
            rate = math.ceil(stream.average_rate)
            for place, frame in enumerate(container.decode(stream)):
                if place % rate:
                    continue
                file = out / f"{place // rate:05}.png"
                count += 1
                if not file.is_file():
                    _write(_view(frame, video), file)
    except av.FFmpegError as error:
        what = f"cannot be read as a video behind second {max(count - 1, 0)} ({error})"
        cure = "Compare its size with the source, and copy or download it again."
        raise BadData(what, where=video, cure=cure) from None
    if not count:
        raise BadData("holds no picture", where=video, cure="Copy or download it again.")
    return count


def _view(frame: Any, video: Path) -> Image.Image:
    """The round view of one frame; frames of another shape are not PitVQA's."""
    if (frame.width, frame.height) != (1280, 720):
        what = f"has pictures of {frame.width} by {frame.height}, not 1280 by 720"
        cure = "Take the videos as released: the view is cut out at fixed pixels."
        raise BadData(what, where=video, cure=cure)
    picture: Image.Image = frame.to_image()
    return picture.crop(VIEW).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _write(picture: Image.Image, file: Path) -> None:
    part = file.with_suffix(".part")
    picture.save(part, format="PNG")
    os.replace(part, file)


def _videos(videos: Path) -> list[Path]:
    """The video, or those of a folder; each named after its operation."""
    if videos.is_dir():
        found = sorted(path for path in videos.iterdir() if path.suffix.lower() in ENDINGS)
    else:
        found = [videos]
    if not found or not found[0].exists():
        cure = (
            f"Give a video, or the folder of video_01.mp4 to video_25.mp4 ({', '.join(ENDINGS)})."
        )
        raise BadData("holds no video", where=videos, cure=cure)
    numbers = [_number(path) for path in found]
    for path, number in zip(found, numbers, strict=True):
        if not number or not 1 <= int(number) <= 25 or numbers.count(number) > 1:
            what = "is not named after one operation, 01 to 25, as video_01.mp4 is"
            raise BadData(what, where=path, cure="Rename it, or move it away.")
    return found


def _number(path: Path) -> str:
    match = re.fullmatch(r".*?(\d{1,2})", path.stem)
    return match[1] if match else ""


def _av() -> Any:
    try:
        import av  # noqa: PLC0415 - only this needs it
    except ImportError:
        cure = "Install it: pip install 'saccade[video]'."
        raise BadConfig("reading videos needs the package PyAV (av)", cure=cure) from None
    return av
