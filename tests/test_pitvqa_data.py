# ruff: noqa: E501 - the released lines are long
"""PitVQA from its annotations and its videos: golden counts, and files that are broken."""

import json
import math
import os
import shutil
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from saccade.core.errors import BadConfig, BadData, SaccadeWarning
from saccade.datasets.catalogue import read_source
from saccade.datasets.pitvqa import CLASSES, NO_ANSWER, category_of, seconds_of
from saccade.datasets.pitvqa_frames import SIDE, VIEW, Journal, cut_video, cut_videos
from saccade.datasets.published_counts import compare
from tests.source_samples import touch

STEPS = """int_video,int_time,str_step,int_step
1,0,operation_not_started,-1
1,2,sellotomy,5
1,5,debris_clearance,14
1,6,operation_ended,-1
"""
TOOLS = """int_video,int_time,str_instrument1,str_instrument2,int_instrument1,int_instrument2,\
pos_instrument1,pos_instrument2,,
1,0,suction,no_secondary_instrument,16,-2,1,,,
1,1,suction,no_secondary_instrument,16,-2,1,,,
1,2,no_visible_instrument,no_secondary_instrument,0,-2,,,,
1,3,suction,kerrisons,16,8,3,5,,
1,4,out_of_patient,no_secondary_instrument,-1,-2,,,,
1,5,no_visible_instrument,suction,0,16,,2,,
1,6,suction,no_secondary_instrument,16,-2,1,,,
"""


def write_annotations(root, steps=STEPS, tools=TOOLS):
    for folder, text in (("steps", steps), ("instruments", tools)):
        (root / f"{folder}_csv").mkdir(parents=True, exist_ok=True)
        (root / f"{folder}_csv/{folder}_01.csv").write_bytes(text.replace("\n", "\r\n").encode())


def seconds(root):
    """Question, answer and category of each line, by second."""
    made = seconds_of(root / "steps_csv/steps_01.csv", root / "instruments_csv/instruments_01.csv")
    return {
        second: tuple((asked, answer, category_of(asked)) for asked, answer in lines)
        for second, lines in made
    }


class TestQuestions:
    def test_lines_of_a_second_in_the_released_order(self, tmp_path):
        write_annotations(tmp_path)
        made = seconds(tmp_path)
        assert [(second, len(lines)) for second, lines in made.items()] == [(2, 5), (3, 12), (5, 9)]
        opened = "The sella is identified, confirmed and carefully opened"
        assert made[3] == (
            ("What is the surgical phase shown in the image?", "sellar", "phase"),
            ("What is the surgical step shown in this frame?", "sellotomy", "step"),
            ("What is the surgical operation performed in the image?", opened, "note"),
            ("What is the next surgical phase?", "closure", "phase"),
            ("What is the next surgical step?", "durotomy", "step"),
            ("What instrument is used at the centre of the image?", "suction", "instrument"),
            ("What instrument is used in the bottom-right of the image?", "kerrisons", "instrument"),
            ("What surgical activity is performing by the instrument suction?", opened, "note"),
            ("What surgical activity is performing by the instrument kerrisons?", opened, "note"),
            ("Where is the surgical instrument suction tip located in the image?", "centre", "position"),
            (
                "Where is the surgical instrument kerrisons tip located in the image?",
                "bottom-right",
                "position",
            ),
            ("How many instruments are present in the image?", "two", "quantity"),
        )  # fmt: skip
        assert made[5][3][1] == "end_of_phase"
        assert made[5][4][1] == "end_of_step"
        assert made[5][5] == (
            "What instrument is used in the top-right of the image?",
            "suction",
            "instrument",
        )

    def test_text_files_and_annotations_give_the_same_records(self, tmp_path):
        write_annotations(tmp_path)
        for second, lines in seconds(tmp_path).items():
            path = tmp_path / f"text/QA/video_01/{second:05}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{asked}|{answer}\n" for asked, answer, _ in lines))
            touch(tmp_path, f"images/video_01/{second:05}.png")
        one = read_source("pitvqa", tmp_path, origin="annotations", images="images")
        other = read_source("pitvqa", tmp_path, origin="text", images="images")
        assert one.questions == other.questions
        assert one.images == other.images
        assert one.images[0].file == "video_01/00002.png"
        assert "were made from the steps" in one.notes[1]

    def test_a_row_out_of_order_is_passed_over(self, tmp_path):
        steps = STEPS.replace("1,5,debris", "1,1,septum_displacement,3\n1,5,debris")
        write_annotations(tmp_path, steps)
        assert seconds(tmp_path)[3][1][1] == "septum_displacement"  # the row before a later one
        assert seconds(tmp_path)[5][1][1] == "debris_clearance"

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            ("str_step", "step", "has no column str_step; it has int_video, int_time, step"),
            ("sellotomy", "lunch", "has the unknown step 'lunch'"),
            ("1,5,debris", "1,soon,debris", "line 4: int_time is 'soon', not a whole number"),
            ("1,5,debris_clearance,14", "1,5", "line 4 has 2 fields, line 1 has 4"),
            (STEPS, "", "is empty"),
        ],
    )
    def test_broken_steps(self, tmp_path, old, new, what):
        write_annotations(tmp_path, STEPS.replace(old, new))
        with pytest.raises(BadData) as caught:
            read_source("pitvqa", tmp_path)
        assert caught.value.location == str(tmp_path / "steps_csv/steps_01.csv")
        assert what in caught.value.message

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            ("pos_instrument2", "place", "has no column pos_instrument2"),
            ("16,8,3,5", "16,8,3,6", "second 3 has an instrument at place '6'"),
            ("1,3,suction", "1,x,suction", "line 5: int_time is 'x'"),
            ("16,8,3,5,,", "16,8", "line 5 has 6 fields"),
        ],
    )
    def test_broken_instruments(self, tmp_path, old, new, what):
        write_annotations(tmp_path, tools=TOOLS.replace(old, new))
        with pytest.raises(BadData) as caught:
            read_source("pitvqa", tmp_path)
        assert caught.value.location == str(tmp_path / "instruments_csv/instruments_01.csv")
        assert what in caught.value.message

    def test_one_file_of_a_pair(self, tmp_path):
        write_annotations(tmp_path)
        (tmp_path / "steps_csv/steps_01.csv").unlink()
        with pytest.raises(BadData, match=r"is there, but steps_01\.csv is not"):
            read_source("pitvqa", tmp_path)
        (tmp_path / "instruments_csv/instruments_01.csv").unlink()
        with pytest.raises(BadData, match=r"has no steps_01\.csv"):
            read_source("pitvqa", tmp_path)

    def test_the_59_classes(self):
        assert len(CLASSES) == len(set(CLASSES)) == 59
        assert not NO_ANSWER & set(CLASSES)
        assert CLASSES.index("end_of_step") == 14
        assert CLASSES.index("nasal_sphenoid") == 15
        assert CLASSES.index("suction") == 19
        assert CLASSES.index("zero") == 37
        assert CLASSES.index("top-left") == 40
        assert CLASSES[54] == "A fat graft is placed over the defact"
        assert CLASSES[58].endswith("Bismuth soaked ribbon gauze")


class TestGoldenCounts:
    """Against the public annotations of all 25 operations, where they are there."""

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, real_data):
        return read_source("pitvqa", real_data("pitvqa-annotations"), all_answers="yes")

    def test_frames_and_questions(self, made):
        assert len(made.images) == 109_173
        assert len(made.questions) == 884_242
        assert Counter(q.split for q in made.questions) == {"train": 680_361, "val": 203_881}
        assert Counter(p.split for p in made.images) == {"train": 84_406, "val": 24_767}
        lines = Counter(Counter(q.image_id for q in made.questions).values())
        assert lines == {5: 37_712, 9: 53_950, 12: 17_511}
        assert len({q.text for q in made.questions}) == 51

    def test_every_answer_as_often_as_published(self, made, real_data):
        golden = json.loads(real_data("metrics-golden/pit_answers.json").read_text())
        for split, counts in golden.items():
            found = Counter(q.best_answer for q in made.questions if q.split == split)
            assert found == counts

    def test_shares_of_the_categories(self, made):
        counts = Counter(q.question_type for q in made.questions)
        shares = {
            kind: round(100 * count / len(made.questions), 2) for kind, count in counts.items()
        }
        assert shares == {
            "phase": 24.69, "step": 24.69, "note": 18.14, "quantity": 12.35, "instrument": 10.06,
            "position": 10.06,
        }  # fmt: skip

    def test_without_two_answers_it_is_the_published_set(self, real_data):
        collection = read_source("pitvqa", real_data("pitvqa-annotations"))
        counts = Counter(q.split for q in collection.questions)
        assert counts == {"train": 680_147, "val": 203_868}
        assert {q.best_answer for q in collection.questions} == set(CLASSES)
        notes, findings = compare(collection)
        assert notes == [
            "Held against what is published: train is word for word the published one; "
            "val is word for word the published one."
        ]
        assert findings == []


def write_video(path, seconds=3, rate=4, size=(1280, 720), sound=False):
    """A film whose every frame has its number as brightness, inside the round view."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if sound:
            stream = container.add_stream("aac", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
        else:
            stream = container.add_stream("mpeg4", rate=Fraction(rate))
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.bit_rate = 4_000_000
        for number in range(1 if sound else int(seconds * rate)):
            if not sound:
                image = np.full((size[1], size[0], 3), 255, np.uint8)
                image[VIEW[1] : VIEW[3], VIEW[0] : VIEW[2]] = 15 * number
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def cut_film(tmp_path_factory):
    """The usual film, and the folder it was cut into: to be read alone."""
    root = tmp_path_factory.mktemp("film")
    cut_video(write_video(root / "video_01.mp4"), root / "out")
    return root


def copy_of(cut_film, root):
    """A film and its images as if cut here: a journal knows the film by its size and time."""
    shutil.copytree(cut_film, root, dirs_exist_ok=True)  # keeps times
    return root / "video_01.mp4"


def images_in(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png*")}


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture
def decoded(monkeypatch):
    """How many frames were decoded, the calls of `cut_video` together."""
    from saccade.datasets import pitvqa_frames

    met = []
    whole = pitvqa_frames._decoded

    def counted(container):
        for frame in whole(container):
            met.append(frame.pts)
            yield frame

    monkeypatch.setattr(pitvqa_frames, "_decoded", counted)
    return met


def write_moving(path, codec="libx264", rate=Fraction(10000, 1001), frames=46, options=None):
    """A film with noise that moves, so that no two frames are alike, and key frames here and there:
    their distance varies from 3 to 20 frames, with frames between that refer to later ones."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (45, 80, 3), np.uint8).repeat(16, 0)
    noise = noise.repeat(16, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.gop_size, stream.bit_rate = 20, 2_000_000
        stream.options = options or {}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 5 * number, 1), format="rgb24")
            if number in (3, 17, 21, 44):
                frame.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


FAST = {"preset": "ultrafast", "bf": "3", "b_adapt": "0", "forced-idr": "1"}
OPEN = {"preset": "ultrafast", "x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=14:scenecut=0"}
FILMS = {
    "mp4": ("video_01.mp4", {"options": FAST}),
    "mp4, open groups": ("video_01.mp4", {"options": OPEN}),
    "mkv": ("video_01.mkv", {"options": FAST}),
    "mov": ("video_01.mov", {"options": FAST, "rate": Fraction(8)}),
    "avi": ("video_01.avi", {"codec": "mpeg4"}),
    "avi, H.264": ("video_01.avi", {"options": FAST}),
}


class TestGoingOn:
    """A run that was stopped anywhere goes on where it stood, and ends as if it had not been."""

    @pytest.fixture(autouse=True)
    def _needs_av(self):
        pytest.importorskip("av")

    @pytest.mark.parametrize("film", FILMS)
    def test_the_images_are_those_of_a_run_that_was_not_stopped(
        self, film, tmp_path, decoded, monkeypatch
    ):
        name, how = FILMS[film]
        video = write_moving(tmp_path / name, **how)
        count = cut_video(video, tmp_path / "whole")
        wanted = images_in(tmp_path / "whole")
        assert len(set(wanted.values())) == count >= 5
        for second in range(1, count):
            out = tmp_path / f"stopped-{second}"

            def stop(journal, at, time, second=second, add=Journal.add):
                add(journal, at, time)
                if at == second - 1:
                    raise Stopped

            with monkeypatch.context() as broken:
                broken.setattr(Journal, "add", stop)
                with pytest.raises(Stopped):
                    cut_video(video, out)
            assert len(images_in(out)) == second
            del decoded[:]
            assert cut_video(video, out) == count
            assert images_in(out) == wanted
            if "avi" not in film:  # from a key frame before the last image that was there
                before = math.ceil(how.get("rate", 10)) * (second - 1)
                assert len(decoded) <= 46 - before + 20 + 4
            del decoded[:]
            assert cut_video(video, out) == count
            assert decoded == []

    def test_a_video_that_is_another_one_now_is_cut_again(self, tmp_path, cut_film, decoded):
        video = copy_of(cut_film, tmp_path)
        write_moving(video, options=FAST, frames=14)
        del decoded[:]
        assert cut_video(video, tmp_path / "out") == 2
        assert len(decoded) == 14
        cut_video(video, tmp_path / "fresh")
        for name, content in images_in(tmp_path / "fresh").items():
            assert (tmp_path / "out" / name).read_bytes() == content

    def test_images_that_no_journal_knows_do_not_count(self, tmp_path, cut_film):
        video = copy_of(cut_film, tmp_path)
        wanted = images_in(tmp_path / "out")
        (tmp_path / "out" / "cut.journal").unlink()
        (tmp_path / "out" / "00001.png").write_bytes(b"half")
        cut_video(video, tmp_path / "out")
        assert images_in(tmp_path / "out") == wanted

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
    def test_a_journal_that_breaks_off(self, tmp_path, cut_film, keep):
        video = copy_of(cut_film, tmp_path)
        wanted = images_in(tmp_path / "out")
        journal = tmp_path / "out" / "cut.journal"
        whole = journal.read_bytes()
        journal.write_bytes(whole[: int(len(whole) * keep)])
        assert cut_video(video, tmp_path / "out") == 3
        assert images_in(tmp_path / "out") == wanted
        assert sorted(journal.read_bytes().split()) == sorted(whole.split())

    @pytest.mark.parametrize("line", ['{"second": "x", "time": 0}', '{"count": "x"}', "[]", "\xff"])
    def test_a_journal_with_something_else_in_it(self, tmp_path, cut_film, line):
        video = copy_of(cut_film, tmp_path)
        journal = tmp_path / "out" / "cut.journal"
        head, *rest = journal.read_text().splitlines()
        journal.write_text("\n".join([head, line, *rest]), encoding="latin-1")
        (tmp_path / "out/00002.png").unlink()
        assert cut_video(video, tmp_path / "out") == 3
        assert len(images_in(tmp_path / "out")) == 3

    def test_a_damaged_image_at_the_place_of_going_on_is_made_again(self, tmp_path, cut_film):
        video = copy_of(cut_film, tmp_path)
        wanted = images_in(tmp_path / "out")
        (tmp_path / "out/00001.png").write_bytes(b"half")
        (tmp_path / "out/00002.png").unlink()
        assert cut_video(video, tmp_path / "out") == 3
        assert images_in(tmp_path / "out") == wanted


class TestFrames:
    @pytest.fixture(autouse=True)
    def _needs_av(self):
        pytest.importorskip("av")

    def test_one_image_a_second_of_the_round_view(self, tmp_path):
        write_video(tmp_path / "videos/video_02.mp4")
        assert list(cut_videos(tmp_path / "videos", tmp_path / "images")) == [("video_02", 3)]
        names = sorted(path.name for path in (tmp_path / "images/video_02").glob("*.png*"))
        assert names == ["00000.png", "00001.png", "00002.png"]
        for second, name in enumerate(names):
            with Image.open(tmp_path / "images/video_02" / name) as image:
                assert image.size == (SIDE, SIDE)
                assert image.mode == "RGB"
                shades = np.asarray(image)[4:-4, 4:-4]
            assert abs(shades.astype(int) - 60 * second).max() <= 12  # frame 4 * second, compressed

    def test_a_rate_between_numbers_is_rounded_up(self, tmp_path):
        video = write_video(tmp_path / "video_01.mp4", seconds=1, rate=7)
        assert cut_video(video, tmp_path / "out") == 1
        film = write_video(tmp_path / "video_03.mp4", seconds=4, rate=Fraction(7, 2))
        assert cut_video(film, tmp_path / "more") == 4  # 14 frames: 0, 4, 8 and 12

    def test_a_stopped_run_goes_on_and_writes_the_same(self, tmp_path, cut_film):
        video = copy_of(cut_film, tmp_path)
        before = images_in(tmp_path / "out")
        (tmp_path / "out/00001.png").unlink()
        stamp = (tmp_path / "out/00000.png").stat().st_mtime_ns
        assert cut_video(video, tmp_path / "out") == 3
        assert images_in(tmp_path / "out") == before
        assert (tmp_path / "out/00000.png").stat().st_mtime_ns == stamp

    def test_frames_are_what_the_reader_looks_for(self, tmp_path):
        write_annotations(tmp_path)
        write_video(tmp_path / "videos/video_01.mp4", seconds=6, rate=2)
        list(cut_videos(tmp_path / "videos", tmp_path / "images"))
        for image in read_source("pitvqa", tmp_path).images:
            assert (tmp_path / image.file).is_file()

    @pytest.mark.parametrize(
        ("spoil", "what"),
        [
            (lambda p: p.write_bytes(b"no film at all"), "cannot be read as a video"),
            (lambda p: p.write_bytes(p.read_bytes()[:900]), "cannot be read as a video"),
            (lambda p: write_video(p, size=(640, 480)), "640 by 480, not 1280 by 720"),
            (lambda p: write_video(p, sound=True), "only sound"),
            (lambda p: p.unlink(), "holds no video"),
            (lambda p: p.rename(p.with_name("film.mp4")), "not named after one operation"),
            (lambda p: p.rename(p.with_name("video_26.mp4")), "not named after one operation"),
        ],
    )
    def test_broken_videos(self, tmp_path, cut_film, spoil, what):
        (tmp_path / "videos").mkdir()
        spoil(shutil.copy(cut_film / "video_01.mp4", tmp_path / "videos" / "video_01.mp4"))
        with pytest.raises(BadData, match=what) as caught:
            list(cut_videos(tmp_path / "videos", tmp_path / "images"))
        assert str(tmp_path / "videos") in caught.value.location
        assert caught.value.hint

    def test_without_pyav(self, tmp_path, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(BadConfig, match="needs the package PyAV") as caught:
            list(cut_videos(tmp_path, tmp_path))
        assert "saccade[video]" in caught.value.hint

    def test_the_command_line(self, tmp_path):
        from typer.testing import CliRunner

        from saccade.cli.app import app

        video = write_video(tmp_path / "video_07.mp4", seconds=1)
        told = CliRunner().invoke(app, ["frames", str(video), "--out", str(tmp_path / "images")])
        assert told.exit_code == 0, told.output
        assert "video_07: 1 images" in told.output


def write_timed(path, times, base=Fraction(1, 90000), options=None, codec="libx264"):
    """A film whose frames are shown at these times; each has its number in two shades of grey."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        stream.options = options or FAST
        for number, time in enumerate(times):
            image = np.zeros((720, 1280, 3), np.uint8)
            image[50:370, 295:935] = 16 * (number // 16) + 4
            image[370:690, 295:935] = 16 * (number % 16) + 4
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(folder):
    """Number of the frame that each image shows, by second."""
    numbers = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            shades = np.asarray(image.convert("L"), int)
        high, low = shades[20:90].mean(), shades[130:200].mean()
        numbers[int(path.stem)] = 16 * round((high - 4) / 16) + round((low - 4) / 16)
    return numbers


def by_the_clock(video):
    """The oracle, by PyAV: number of the last frame whose time has come, by second."""
    import av

    with av.open(str(video)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    begin = int(times[0])
    seconds = range(begin, int(times[-1]) + 1)
    return {
        second: max([n for n, time in enumerate(times) if time <= second + 1e-9], default=0)
        for second in seconds
    }, times


EVEN = [Fraction(n, 5) for n in range(36)]
CLIPS = {
    "an even rate": EVEN,
    "a rate that is no whole number": [n / Fraction("5.3") for n in range(60)],
    "begins at 1.00 s": [time + 1 for time in EVEN],
    "begins within a second": [time + Fraction("1.3") for time in EVEN],
    "begins late by a B-frame": [time + Fraction("0.08") for time in EVEN],
    "a pause": [*EVEN[:12], *(time + Fraction("4.6") for time in EVEN[12:])],
    "varies": [Fraction(n * n, 90) for n in range(30)],
}


class TestByTime:
    """Each image shows the frame of its second, whatever the stream does."""

    @pytest.fixture(autouse=True)
    def _needs_av(self):
        pytest.importorskip("av")

    @pytest.mark.filterwarnings("ignore::saccade.core.errors.SaccadeWarning")
    @pytest.mark.parametrize("clip", CLIPS)
    @pytest.mark.parametrize("name", ["video_01.mp4", "video_01.mkv"])
    def test_images_are_of_their_seconds(self, clip, name, tmp_path):
        video = write_timed(tmp_path / "videos" / name, CLIPS[clip])
        wanted, times = by_the_clock(video)
        ((_, count),) = cut_videos(tmp_path / "videos", tmp_path / "images", "time")
        found = shown(tmp_path / "images/video_01")
        assert found == wanted
        assert count == len(wanted) >= 5
        if clip != "a pause":
            furthest = max(abs(times[frame] - second) for second, frame in found.items())
            assert furthest <= (0.75 if "within" in clip or clip == "varies" else 0.21)
        again = cut_videos(tmp_path / "videos", tmp_path / "images", "time")
        assert list(again) == [("video_01", count)]

    def test_counting_drifts_and_says_so(self, tmp_path):
        video = write_timed(
            tmp_path / "video_01.mp4", CLIPS["a rate that is no whole number"]
        )  # 6 frames an image, 1.13 s
        with pytest.warns(SaccadeWarning, match=r"video_01\.mp4.*--by time"):
            cut_video(video, tmp_path / "counted", "count")
        assert shown(tmp_path / "counted") == {second: 6 * second for second in range(10)}
        with pytest.warns(SaccadeWarning, match=r"image 9 .*10\.19 s.* from image 4 on.*time was"):
            cut_video(video, tmp_path / "timed", "time")
        assert shown(tmp_path / "timed")[9] == 47
        even = write_video(tmp_path / "video_02.mp4")
        assert cut_video(even, tmp_path / "even", "count") == 3  # and no warning

    @pytest.mark.parametrize("numbers", [[1], [25], range(1, 25), range(1, 26)])
    def test_the_published_videos_are_counted_whatever_their_number(
        self, numbers, tmp_path, monkeypatch
    ):
        from saccade.datasets import pitvqa_frames

        asked = []
        monkeypatch.setattr(pitvqa_frames, "cut_video", lambda *given: asked.append(given[2]))
        for number in numbers:
            (tmp_path / f"video_{number:02}.{'MP4' if number == 3 else 'mp4'}").touch()
        list(cut_videos(tmp_path, tmp_path / "out"))
        assert asked == ["count"] * len(numbers)
        list(cut_videos(tmp_path, tmp_path / "out", "time"))
        assert asked[len(numbers) :] == ["time"] * len(numbers)

    def test_other_names_go_by_time_beside_published_ones_too(self, tmp_path, monkeypatch):
        from saccade.datasets import pitvqa_frames

        asked = {}
        monkeypatch.setattr(
            pitvqa_frames, "cut_video", lambda path, out, by: asked.update({path.name: by})
        )
        others = ["film_02.mp4", "video_3.mp4", "my_video_04.mp4"]
        for name in ["video_01.mp4", *others]:
            (tmp_path / name).touch()
        list(cut_videos(tmp_path, tmp_path / "out"))
        assert asked == {"video_01.mp4": "count", **dict.fromkeys(others, "time")}

    @pytest.mark.filterwarnings("ignore::saccade.core.errors.SaccadeWarning")
    @pytest.mark.parametrize(("first", "then"), [("count", "time"), ("time", "count")])
    def test_images_of_the_other_way_are_refused_and_stay(self, tmp_path, first, then):
        video = write_timed(tmp_path / "video_01.mp4", [time + 1 for time in EVEN])
        count = cut_video(video, tmp_path / "out", first)
        wanted = images_in(tmp_path / "out")
        for rest in (0, 1):  # and if one is gone, or the video is touched
            with pytest.raises(BadData, match=first) as caught:
                cut_video(video, tmp_path / "out", then)
            assert caught.value.location == str(tmp_path / "out")
            assert f"--by {first}" in caught.value.hint
            assert images_in(tmp_path / "out").keys() >= wanted.keys() - {"00003.png"}
            if not rest:
                (tmp_path / "out/00003.png").unlink()
                os.utime(video, (1, 1))
        assert cut_video(video, tmp_path / "out", first) == count
        assert images_in(tmp_path / "out") == wanted
        for path in (tmp_path / "out").glob("*.png"):
            path.unlink()
        cut_video(video, tmp_path / "out", then)
        assert images_in(tmp_path / "out") != wanted

    @pytest.mark.filterwarnings("ignore::saccade.core.errors.SaccadeWarning")
    @pytest.mark.parametrize("clip", ["a pause", "a rate that is no whole number"])
    def test_a_stopped_run_goes_on(self, clip, tmp_path, monkeypatch):
        video = write_timed(tmp_path / "video_01.mp4", CLIPS[clip])
        count = cut_video(video, tmp_path / "whole", "time")
        wanted = images_in(tmp_path / "whole")
        for stop_at in range(1, count, 2):
            out = tmp_path / f"stopped-{stop_at}"

            def stop(journal, at, time, stop_at=stop_at, add=Journal.add):
                add(journal, at, time)
                if at == stop_at:
                    raise Stopped

            with monkeypatch.context() as broken:
                broken.setattr(Journal, "add", stop)
                with pytest.raises(Stopped):
                    cut_video(video, out, "time")
            assert cut_video(video, out, "time") == count
            assert images_in(out) == wanted

    def test_a_pause_that_no_film_has(self, tmp_path):
        video = write_timed(tmp_path / "video_01.mkv", [*EVEN[:9], 5000])
        with pytest.raises(BadData, match="pause") as caught:
            cut_video(video, tmp_path / "out", "time")
        assert caught.value.location == str(video)
        assert len(images_in(tmp_path / "out")) == 2
