"""PitVQA: 25 pituitary operations, a frame a second, questions about step, instruments and place.

Either the released text files, `QA/video_01/00042.txt` with `question|answer` lines, or the public
annotations from which these were made (`steps_csv/`, `instruments_csv/`); both give the same
records. Frames are `images/video_01/00042.png`; `saccade frames` makes them from the videos.
Layout and split: He et al. 2024.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, folder_like, names_in
from saccade.data.options import one_of
from saccade.data.reading import read_table
from saccade.data.records import Collection, ImageRecord, Question, Split
from saccade.datasets.surgical import named_files, read_question_lines

PHASES = {
    "nasal_sphenoid": {
        "nasal_corridor_creation": "The middle and superior turbinates are laterally displaced",
        "anterior_sphenoidotomy": "The sphenoid ostium is identified and opened",
        "septum_displacement": "The septum is displaced until the opposite ostium is seen",
        "sphenoid_sinus_clearance": "The sphenoid sinus is opened, with removal of sphenoid "
        "septations to expose the face of the sella and mucosa",
    },
    "sellar": {
        "sellotomy": "The sella is identified, confirmed and carefully opened",
        "durotomy": "A cruciate durotomy is performed",
        "tumour_excision": "The tumour is seen and removed in a piecemeal fashion",
    },
    "closure": {
        "haemostasis": "Haemostasis is achieved with a surgiflo, a bipolar cautery, and a "
        "spongostan placement",
        "synthetic_graft_placement": "spongostan, tachosil and duragen placement",
        "fat_graft_placement": "A fat graft is placed over the defact",  # as released
        "gasket_seal_construct": "A MedPor implant and a fascia lata graft are placed",
        "dural_sealant": "Evicel and Adherus dural sealant are applied",
        "nasal_packing": "The nasal cavity is packed with Bismuth soaked ribbon gauze",
        "debris_clearance": "Debris is cleared from the nasal cavity and choana",
    },
}
"""The steps of each phase in the order of an operation, and what is done in them."""
STEPS = {step: (phase, done) for phase, steps in PHASES.items() for step, done in steps.items()}
NEXT_STEP = dict(zip(STEPS, [*list(STEPS)[1:], "end_of_step"], strict=True))
NEXT_PHASE = dict(zip(PHASES, [*list(PHASES)[1:], "end_of_phase"], strict=True))
NO_STEP = ("operation_not_started", "operation_ended", "out_of_patient")
PLACES = ("top-left", "top-right", "centre", "bottom-left", "bottom-right")
COUNTS = ("zero", "one", "two")
NO_ANSWER = frozenset({"no_visible_instrument", "no_secondary_instrument"})
"""Answers that the published loader leaves out."""

CLASSES = (
    # The order of the published head; it differs from that of the operation.
    "nasal_corridor_creation", "anterior_sphenoidotomy", "septum_displacement",
    "sphenoid_sinus_clearance", "sellotomy", "haemostasis", "synthetic_graft_placement",
    "durotomy", "tumour_excision", "fat_graft_placement", "gasket_seal_construct",
    "dural_sealant", "nasal_packing", "debris_clearance", "end_of_step",
    "nasal_sphenoid", "sellar", "closure", "end_of_phase",
    "suction", "freer_elevator", "pituitary_rongeurs", "spatula_dissector", "kerrisons", "cottle",
    "haemostatic_foam", "micro_doppler", "nasal_cutting_forceps", "stealth_pointer",
    "irrigation_syringe", "retractable_knife", "dural_scissors", "ring_curette", "cup_forceps",
    "bipolar_forceps", "tissue_glue", "surgical_drill",
    *COUNTS,
    "top-left", "top-right", "centre", "bottom-left", "bottom-right",
    *(
        STEPS[step][1]
        for step in (
            "nasal_corridor_creation", "anterior_sphenoidotomy", "septum_displacement",
            "sphenoid_sinus_clearance", "haemostasis", "sellotomy", "durotomy", "tumour_excision",
            "synthetic_graft_placement", "fat_graft_placement", "dural_sealant",
            "debris_clearance", "gasket_seal_construct", "nasal_packing",
        )
    ),
)  # fmt: skip
"""The 59 answers in the order of the published classifier."""

TOOL_COLUMNS = ("str_instrument1", "str_instrument2", "pos_instrument1", "pos_instrument2")
ANNOTATIONS = "Take PitVQA's published annotations: steps_csv/steps_01.csv ..."

CATEGORIES = (
    ("phase", ("What is the surgical phase", "What is the next surgical phase")),
    ("step", ("What is the surgical step", "What is the next surgical step")),
    ("note", ("What is the surgical operation", "What surgical activity")),
    ("instrument", ("What instrument",)),
    ("position", ("Where is",)),
    ("quantity", ("How many",)),
)
"""The paper's categories, and how their questions begin."""


Line = tuple[str, str]
"""One question with its answer."""


def seconds_of(steps: Path, instruments: Path) -> Iterator[tuple[int, tuple[Line, ...]]]:
    """Each second of one operation that is asked about, and its lines in the released order.

    Seconds out of the patient, and before or after the operation, are passed over. Raises BadData
    for a table that lacks a column, or holds a step, a time or a place that does not exist.
    """
    at, (names,) = _columns(steps, ("str_step",))
    if strange := [name for name in names if name not in STEPS and name not in NO_STEP]:
        hint = f"Known are: {', '.join(STEPS)}."
        raise BadData(f"has the unknown step {strange[0][:40]!a}", location=steps, hint=hint)
    seconds, (one, two, place_one, place_two) = _columns(instruments, TOOL_COLUMNS)
    # A second's step is the row before the first that begins later; operation 16 has one row out of
    # order, which the largest start so far passes over, as the published program does.
    running = np.searchsorted(np.maximum.accumulate(at), seconds, side="right") - 1
    wanted = running >= 0
    wanted &= np.array([name not in NO_STEP for name in names])[running]
    wanted &= np.array([a != NO_STEP[-1] != b for a, b in zip(one, two, strict=True)], bool)
    for row in np.flatnonzero(wanted):
        tools = ((one[row], place_one[row]), (two[row], place_two[row]))
        visible = tuple((tool, place) for tool, place in tools if place)
        if strange := [place for _, place in visible if place not in ("1", "2", "3", "4", "5")]:
            message = f"second {seconds[row]} has an instrument at place {strange[0][:20]!a}"
            raise BadData(message, location=instruments, hint="Places are 1 to 5, or empty.")
        yield int(seconds[row]), _lines(names[running[row]], visible)


@cache
def _lines(step: str, tools: tuple[tuple[str, str], ...]) -> tuple[Line, ...]:
    """Questions about a second in which `tools` are visible, as (name, place "1".."5")."""
    phase, operation = STEPS[step]
    seen = [(name, PLACES[int(place) - 1]) for name, place in tools]
    activity = "What surgical activity is performing by the instrument"  # as released
    pairs = [
        ("What is the surgical phase shown in the image?", phase),
        ("What is the surgical step shown in this frame?", step),
        *[("What is the surgical operation performed in the image?", operation)][: len(tools)],
        ("What is the next surgical phase?", NEXT_PHASE[phase]),
        ("What is the next surgical step?", NEXT_STEP[step]),
        *(
            (f"What instrument is used {'at' if p == 'centre' else 'in'} the {p} of the image?", n)
            for n, p in seen
        ),
        *((f"{activity} {n}?", operation) for n, _ in seen),
        *((f"Where is the surgical instrument {n} tip located in the image?", p) for n, p in seen),
        ("How many instruments are present in the image?", COUNTS[len(tools)]),
    ]
    return tuple(pairs)


@cache
def category_of(question: str) -> str:
    """The paper's category of a question; empty for one that PitVQA does not ask."""
    return next((name for name, heads in CATEGORIES if question.startswith(heads)), "")


def _columns(path: Path, wanted: tuple[str, ...]) -> tuple[np.ndarray, list[list[str]]]:
    """The column of seconds, `int_time`, and those that are `wanted`."""
    names, rows = read_table(path)
    if lacks := [name for name in ("int_time", *wanted) if name not in names]:
        message = f"has no column {lacks[0]}; it has {', '.join(filter(None, names))[:100]}"
        raise BadData(message, location=path, hint=ANNOTATIONS)
    times, *columns = (
        [values[names.index(name)].strip() for _, values in rows] for name in ("int_time", *wanted)
    )
    try:
        return np.array([int(value) for value in times], np.int64), columns
    except ValueError:
        line, bad = next((n, value) for n, value in enumerate(times, 2) if not value.isdecimal())
        message = f"line {line}: int_time is {bad[:20]!a}, not a whole number"
        raise BadData(message, location=path, hint=ANNOTATIONS) from None


VAL = (2, 6, 12, 13, 24)
"""The operations of the validation split; the other 20 are for training. There is no test split."""
VIDEOS = range(1, 26)

Second = tuple[int, int, Sequence[Line]]
"""Operation, second, and the lines asked there, in the file's order."""


def read(root: Path, origin: str = "", images: str = "", all_answers: str = "no") -> Collection:
    """Read `QA/`, or `steps_csv/` and `instruments_csv/`, in `root` or a folder directly below it.

    `origin` ("text" or "annotations") chooses where both are there (else the text); `images` is
    the folder that holds `video_01/` ... (else `images/` and `root`). `all_answers=yes` keeps the
    answers no_visible_instrument and no_secondary_instrument, which the published loader leaves
    out. An image's number is 100,000 times its operation and its second, a question's 100 times
    that and its line. Raises BadData for files of another form, BadConfig for other words.
    """
    origin = origin and one_of("origin", origin, ("text", "annotations"))
    one_of("all_answers", all_answers, ("yes", "no"))
    text, annotations = folder_like(root, _has_text), folder_like(root, _has_annotations)
    if origin == "annotations" or (text is None and origin == ""):
        home, seconds = annotations, _from_annotations
    else:
        home, seconds = text, _from_text
    if home is None:
        wanted = "QA/video_01/00000.txt" if seconds is _from_text else "QA/, nor steps_csv/"
        hint = "Check --root: it holds QA/, or steps_csv/ and instruments_csv/."
        raise BadData(f"holds no {wanted} of PitVQA", location=root, hint=hint)
    files = ImageFiles(root if images else home, images or None)
    image_records: list[ImageRecord] = []
    questions: list[Question] = []
    left_out = 0
    for video, second, lines in seconds(home):
        split: Split = "val" if video in VAL else "train"
        folder, number = f"video_{video:02}", video * 100_000 + second
        file = files.find(f"{second:05}.png", folders=(f"images/{folder}", folder))
        image_records.append(ImageRecord(number, file, split))
        for place, (asked, answer) in enumerate(lines):
            if answer in NO_ANSWER and all_answers == "no":
                left_out += 1
                continue
            given, category = ((answer,), answer, ""), category_of(asked)
            questions.append(Question(number * 100 + place, number, asked, split, *given, category))
    notes = ["The published validation split chose the model and was reported; there is no test."]
    if seconds is _from_annotations:
        notes.append("Questions and answers were made from the steps and instruments.")
    if left_out:
        answers = " or ".join(sorted(NO_ANSWER))
        out = f"{left_out} questions were left out, as published"
        notes.append(f"{out}: their answer is {answers}.")
    if others := {question.best_answer for question in questions} - {*CLASSES, *NO_ANSWER}:
        shown = f"{min(others)[:40]!a} ..."
        notes.append(f"{len(others)} answers are not among the 59 published ones: {shown}")
    return Collection(
        source="pitvqa",
        image_root=str(files.root),
        images=image_records,
        questions=questions,
        notes=notes,
        edition="" if all_answers == "yes" else "published",
    )


def recognise(root: Path) -> str | None:
    """`QA/video_01/`, or both folders of annotations."""
    if home := folder_like(root, _has_text):
        return f"there are question|answer files in {home.name}/QA/video_01/"
    home = folder_like(root, _has_annotations)
    return f"there are steps_csv/ and instruments_csv/ in {home.name}" if home else None


def _has_text(folder: Path) -> bool:
    return any((folder / "QA" / f"video_{video:02}").is_dir() for video in VIDEOS)


def _has_annotations(folder: Path) -> bool:
    return (folder / "steps_csv").is_dir() and (folder / "instruments_csv").is_dir()


def _from_text(home: Path) -> Iterator[Second]:
    for folder in (home / "QA" / name for name in names_in(home / "QA")):
        match = re.fullmatch(r"video_(\d\d)", folder.name)
        if match is None or int(match[1]) not in VIDEOS:
            message = "is no operation of PitVQA: these are video_01 to video_25"
            raise BadData(message, location=folder, hint="Move it away.")
        video = int(match[1])
        for path, name in named_files(folder, r"(\d{5})\.txt", "its second, as 00042.txt is"):
            if lines := [(text, answer) for _, text, answer in read_question_lines(path)]:
                yield video, int(name[1]), lines  # an empty file: nothing is asked about a frame


def _from_annotations(home: Path) -> Iterator[Second]:
    found = False
    for video in VIDEOS:
        steps = home / f"steps_csv/steps_{video:02}.csv"
        instruments = home / f"instruments_csv/instruments_{video:02}.csv"
        if steps.is_file() != instruments.is_file():
            lone, lost = (steps, instruments) if steps.is_file() else (instruments, steps)
            hint = f"Put {lost.name} into {lost.parent.name}/."
            raise BadData(f"is there, but {lost.name} is not", location=lone, hint=hint)
        if not steps.is_file():
            continue
        found = True
        for second, lines in seconds_of(steps, instruments):
            yield video, second, lines
    if not found:
        message = "has no steps_01.csv to steps_25.csv"
        raise BadData(message, location=home / "steps_csv", hint=ANNOTATIONS)
