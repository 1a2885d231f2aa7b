"""PitVQA's questions and answers, made from the steps and instruments of 25 operations.

The annotations say which step begins at which second, and which instruments are seen where in each
second. All questions are fixed phrases, and all answers follow from the step, the instruments and
their places: no person wrote them. Rules: He et al. 2024 and the annotations published with it;
109,173 seconds give 884,242 questions.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saccade.core.errors import BadData
from saccade.data.reading import read_table

STEPS: dict[str, tuple[str, str]] = {
    "nasal_corridor_creation": (
        "nasal_sphenoid",
        "The middle and superior turbinates are laterally displaced",
    ),
    "anterior_sphenoidotomy": ("nasal_sphenoid", "The sphenoid ostium is identified and opened"),
    "septum_displacement": (
        "nasal_sphenoid",
        "The septum is displaced until the opposite ostium is seen",
    ),
    "sphenoid_sinus_clearance": (
        "nasal_sphenoid",
        "The sphenoid sinus is opened, with removal of sphenoid septations to expose the face of "
        "the sella and mucosa",
    ),
    "sellotomy": ("sellar", "The sella is identified, confirmed and carefully opened"),
    "durotomy": ("sellar", "A cruciate durotomy is performed"),
    "tumour_excision": ("sellar", "The tumour is seen and removed in a piecemeal fashion"),
    "haemostasis": (
        "closure",
        "Haemostasis is achieved with a surgiflo, a bipolar cautery, and a spongostan placement",
    ),
    "synthetic_graft_placement": ("closure", "spongostan, tachosil and duragen placement"),
    "fat_graft_placement": ("closure", "A fat graft is placed over the defact"),  # as released
    "gasket_seal_construct": ("closure", "A MedPor implant and a fascia lata graft are placed"),
    "dural_sealant": ("closure", "Evicel and Adherus dural sealant are applied"),
    "nasal_packing": ("closure", "The nasal cavity is packed with Bismuth soaked ribbon gauze"),
    "debris_clearance": ("closure", "Debris is cleared from the nasal cavity and choana"),
}
"""The steps in the order of an operation, each with its phase and what is done in it."""
NEXT_STEP = dict(zip(STEPS, [*list(STEPS)[1:], "end_of_step"], strict=True))
NEXT_PHASE = {"nasal_sphenoid": "sellar", "sellar": "closure", "closure": "end_of_phase"}
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

STEP_COLUMNS = ("int_time", "str_step")
TOOL_COLUMNS = (
    "int_time", "str_instrument1", "str_instrument2", "pos_instrument1", "pos_instrument2",
)  # fmt: skip


CATEGORIES = (
    ("phase", ("What is the surgical phase", "What is the next surgical phase")),
    ("step", ("What is the surgical step", "What is the next surgical step")),
    ("note", ("What is the surgical operation", "What surgical activity")),
    ("instrument", ("What instrument",)),
    ("position", ("Where is",)),
    ("quantity", ("How many",)),
)
"""The paper's categories, and how their questions begin."""


class Line(NamedTuple):
    """One question with its answer, and which of the paper's categories it is of."""

    question: str
    answer: str
    category: str


def seconds_of(steps: Path, instruments: Path) -> Iterator[tuple[int, tuple[Line, ...]]]:
    """Each second of one operation that is asked about, and its lines in the released order.

    Seconds out of the patient, and before or after the operation, are passed over. Raises BadData
    for a table that lacks a column, or holds a step, a time or a place that does not exist.
    """
    starts, names = _columns(steps, STEP_COLUMNS)
    at = _whole(steps, "int_time", starts)
    strange = next((name for name in names if name not in STEPS and name not in NO_STEP), None)
    if strange is not None:
        cure = f"Known are: {', '.join(STEPS)}."
        raise BadData(f"has the unknown step {strange[:40]!a}", where=steps, cure=cure)
    times, one, two, place_one, place_two = _columns(instruments, TOOL_COLUMNS)
    seconds = _whole(instruments, "int_time", times)
    # A second's step is the row before the first that begins later; operation 16 has one row out of
    # order, which the largest start so far passes over, as the published program does.
    running = np.searchsorted(np.maximum.accumulate(at), seconds, side="right") - 1
    wanted = running >= 0
    wanted &= np.array([name not in NO_STEP for name in names])[running]
    wanted &= np.array([a != NO_STEP[-1] != b for a, b in zip(one, two, strict=True)], bool)
    for row in np.flatnonzero(wanted):
        tools = ((one[row], place_one[row]), (two[row], place_two[row]))
        seen = tuple((tool, place) for tool, place in tools if place)
        if strange := next((p for _, p in seen if p not in ("1", "2", "3", "4", "5")), ""):
            what = f"second {seconds[row]} has an instrument at place {strange[:20]!a}"
            raise BadData(what, where=instruments, cure="Places are 1 to 5, or empty.")
        yield int(seconds[row]), _lines(names[running[row]], seen)


@cache
def _lines(step: str, tools: tuple[tuple[str, str], ...]) -> tuple[Line, ...]:
    """What is asked of a second in which `tools` are seen, as (name, place "1".."5")."""
    phase, operation = STEPS[step]
    places = [PLACES[int(place) - 1] for _, place in tools]
    where = [f"{'at' if place == 'centre' else 'in'} the {place} of the image" for place in places]
    names = [tool for tool, _ in tools]
    pairs = [
        ("What is the surgical phase shown in the image?", phase),
        ("What is the surgical step shown in this frame?", step),
        *[("What is the surgical operation performed in the image?", operation)][: len(tools)],
        ("What is the next surgical phase?", NEXT_PHASE[phase]),
        ("What is the next surgical step?", NEXT_STEP[step]),
        *((f"What instrument is used {w}?", n) for w, n in zip(where, names, strict=True)),
        *(
            (f"What surgical activity is performing by the instrument {n}?", operation)
            for n in names
        ),
        *(
            (f"Where is the surgical instrument {n} tip located in the image?", place)
            for n, place in zip(names, places, strict=True)
        ),
        ("How many instruments are present in the image?", COUNTS[len(tools)]),
    ]
    return tuple(Line(asked, answer, category_of(asked)) for asked, answer in pairs)


@cache
def category_of(question: str) -> str:
    """The paper's category of a question; empty for one that PitVQA does not ask."""
    return next((name for name, heads in CATEGORIES if question.startswith(heads)), "")


def _columns(path: Path, wanted: tuple[str, ...]) -> list[list[str]]:
    names, rows = read_table(path)
    lacks = next((name for name in wanted if name not in names), None)
    if lacks:
        what = f"has no column {lacks}; it has {', '.join(filter(None, names))[:100]}"
        raise BadData(what, where=path, cure="Take PitVQA's published annotations.")
    at = [names.index(name) for name in wanted]
    return [[row.values[place].strip() for row in rows] for place in at]


def _whole(path: Path, column: str, values: list[str]) -> np.ndarray:
    try:
        return np.array([int(value) for value in values], np.int64)
    except ValueError:
        bad = next(line for line, value in enumerate(values, 2) if not value.isdecimal())
        what = f"line {bad}: {column} is {values[bad - 2][:20]!a}, not a whole number"
        raise BadData(what, where=path, cure="Take PitVQA's published annotations.") from None
