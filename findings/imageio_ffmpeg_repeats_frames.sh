#!/bin/sh
# One and the same video, its frames at uneven times, read from its first frame to its last: imageio's
# FFmpeg plugin gives three to six times as many pictures as there are frames.
#
# Packages: imageio 2.38.1 with imageio-ffmpeg 0.8.1, av 18.1.0, opencv-python-headless 5.0.0.93,
#           numpy 2.3.4 (Python 3.11).
# Guessed:  all three give the 60 frames that are in the file.
# Seen:     30 frames 0.2 s apart, then 30 frames 1 s apart. PyAV and OpenCV: 60 pictures from the MP4
#           and from the Matroska file. imageio: 180 and 359; it has the frames repeated until they are
#           evenly spaced, 5 or 10 a second, while its metadata says 1.79 a second for the MP4 file.
# Matters:  the n-th picture is another one in each reader, so labels that go by number are wrong; and
#           number / rate, 180 / 1.79 = 101 s, is no time of a video of 35 s. "Every second picture"
#           of imageio is mostly the same frame twice.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "imageio==2.38.1" "imageio-ffmpeg==0.8.1" "av==18.1.0" \
    "opencv-python-headless==5.0.0.93" "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import cv2
import imageio
import numpy

millisecond = Fraction(1, 1000)
times = [200 * n for n in range(30)] + [6000 + 1000 * n for n in range(30)]
seen = {}
for name in ("video.mp4", "video.mkv"):
    with av.open(name, "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = millisecond
        for number, time in enumerate(times):
            grey = numpy.full((64, 64, 3), 4 * number, numpy.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = time, millisecond
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(name) as file:
        seen[name, "av"] = sum(1 for _ in file.decode(video=0))
    capture = cv2.VideoCapture(name)
    seen[name, "opencv"] = 0
    while capture.read()[0]:
        seen[name, "opencv"] += 1
    with imageio.get_reader(name, "ffmpeg") as reader:
        greys = [round(float(picture.mean())) for picture in reader]
        about = reader.get_meta_data()
    seen[name, "imageio"] = len(greys)
    different = sum(abs(one - next_) > 1 for one, next_ in zip(greys, greys[1:]))
    print(name, "imageio says", about["fps"], "a second,", about["duration"], "s;",
          "of its pictures", 1 + different, "differ from the one before")
print(seen)
for name in ("video.mp4", "video.mkv"):
    assert seen[name, "av"] == seen[name, "opencv"] == 60, "changed: PyAV or OpenCV"
assert seen["video.mp4", "imageio"] == 180, "changed: imageio, MP4"
assert seen["video.mkv", "imageio"] == 359, "changed: imageio, Matroska"
PYTHON
echo "as stated"
