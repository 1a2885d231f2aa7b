#!/bin/sh
# One and the same video, its frames at uneven times, as MP4 and as Matroska: the times of all frames
# are equal, and the "average rate" of the stream is 1.8 frames a second in one, 10 in the other.
#
# Packages: av (PyAV) 18.1.0 with its own FFmpeg, numpy 2.3.4 (Python 3.11).
# Guessed:  the average rate is number of frames / duration, or near it, in both.
# Seen:     30 frames 0.2 s apart, then 30 frames 1 s apart: 120/67 in the MP4 file, whose table
#           has every frame; 10 in the Matroska file, which keeps the rate that the encoder was
#           told (its default duration of a frame) and no number of frames.
# Matters:  pictures "one a second" are often taken as every ceil(average rate)-th frame (so are
#           those of PitVQA). From the MP4 file that is every 2nd frame, from the Matroska file
#           every 10th, of the same video. Only the frames' own times are alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "av==18.1.0" "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import math
from fractions import Fraction

import av
import numpy

millisecond = Fraction(1, 1000)
wanted = [200 * n for n in range(30)] + [6000 + 1000 * n for n in range(30)]
rates = {}
for name in ("video.mp4", "video.mkv"):
    with av.open(name, "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = millisecond
        for number, time in enumerate(wanted):
            grey = numpy.full((64, 64, 3), 4 * number, numpy.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = time, millisecond
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(name) as file:
        stream = file.streams.video[0]
        times = [round(1000 * frame.time) for frame in file.decode(stream)]
        rates[name] = stream.average_rate
        assert max(abs(a - b) for a, b in zip(times, wanted, strict=True)) <= 1, "other times"
        step = math.ceil(stream.average_rate)
        print("av", av.__version__, name, "average rate", rates[name], "frames", stream.frames,
              "every", step, "th:", len(times[::step]), "pictures")
assert rates["video.mp4"] == Fraction(120, 67), "changed: the MP4 file's average rate"
assert rates["video.mkv"] == 10, "changed: the Matroska file's average rate"
PYTHON
echo "as stated"
