"""Examples of what the runs said: where all are right, where all are wrong, where they disagree.

Chosen by rule from the judged rows, never by hand. Where a run looked is drawn from its stored
features, so that the page shows what was judged and needs no backbone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.compare.choice import choose
from saccade.compare.figures import Figure, Row, number_or_none, shown
from saccade.compare.looks import WIDE, Drawer, drawer
from saccade.compare.runs import Contender, Group
from saccade.core.errors import BadImage
from saccade.data.folder import DataFolder
from saccade.inference.explain import picture_of
from saccade.viz.html import Tile, embed

MAPPED = 6
"""So many runs, from the first on, are drawn; what the others said is written."""


class Look(NamedTuple):
    """What one run said of an example, and where it looked."""

    run: int
    """The run's place in its group."""
    name: str
    said: str
    about: str
    """How right, how sure."""
    right: bool | None
    """None where a score is not right or wrong."""
    tiles: Sequence[Tile]
    says: str
    """What the maps are, or why there are none."""


class Example(NamedTuple):
    """One question or picture with all that was said."""

    question: str
    """Empty for captions."""
    people: Sequence[str]
    picture: Tile | None
    """None where the picture file cannot be read."""
    looks: Sequence[Look]


class Shelf(NamedTuple):
    """Examples that stand together."""

    title: str
    says: str
    examples: Sequence[Example]


class Gallery(NamedTuple):
    """All examples of a group."""

    figure: Figure
    shelves: Sequence[Shelf]


TITLES = {"good": "All do well", "bad": "All do badly", "disagreed": "They disagree"}
SAYS = {
    "vqa": {
        "good": "Questions to which each run gave an answer that people gave, best first.",
        "bad": "The first questions to which no run gave an answer that anybody gave.",
        "disagreed": "Questions that about half of the runs answered as some person did.",
    },
    "caption": {
        "good": "The pictures whose worst caption has the highest CIDEr-D.",
        "bad": "The pictures whose best caption has the lowest CIDEr-D.",
        "disagreed": "The pictures whose captions differ most in CIDEr-D.",
    },
}


def gallery(
    group: Group, folder: DataFolder, count: int, device: str, features: str | None = None
) -> Gallery:
    """Draw the examples of a group; each run is loaded once, one after the other."""
    chosen = choose(group, count)
    places = [place for some in chosen.values() for place in some]
    files = {picture.id: picture.file for picture in folder.pictures(group.split)}
    pictures: dict[int, NDArray[np.uint8] | None] = {}
    for place in places:
        id_ = int(group.runs[0].rows["image_id"][place])
        try:
            pictures[place] = picture_of(folder.image_root / files[id_])
        except BadImage:
            pictures[place] = None
    asked = _questions(group, folder, places)
    looks: dict[int, list[Look]] = {place: [] for place in places}
    for number, run in enumerate(group.runs):
        draw = drawer(run, folder, device, features) if number < MAPPED else None
        for place in places:
            looks[place].append(_look(run, number, place, asked[place][0], pictures[place], draw))
    shelves = [
        Shelf(
            TITLES[kind],
            SAYS[group.task][kind],
            [
                Example(*asked[place], _tile(pictures[place]), looks[place])
                for place in chosen[kind]
            ],
        )
        for kind in chosen
    ]
    return Gallery(_figure(group, chosen, asked, files), shelves)


def _questions(
    group: Group, folder: DataFolder, places: Sequence[int]
) -> dict[int, tuple[str, list[str]]]:
    """What was asked, and what people said, of each chosen row."""
    rows = group.runs[0].rows
    if group.task == "vqa":
        by_id = {question.id: question for question in folder.questions(group.split)}
        asked = {place: by_id[rows["id"][place]] for place in places}
        return {
            place: (question.text, list(dict.fromkeys(question.answers)))
            for place, question in asked.items()
        }
    people = folder.captions_by_picture(group.split)
    return {
        place: ("", [" ".join(caption.words) for caption in people[rows["image_id"][place]]])
        for place in places
    }


def _look(
    run: Contender,
    number: int,
    place: int,
    question: str,
    picture: NDArray[np.uint8] | None,
    draw: Drawer | None,
) -> Look:
    rows = run.rows
    tiles: tuple[Sequence[Tile], str] = ((), "")
    if draw is not None and picture is not None:
        tiles = draw(int(rows["image_id"][place]), question, picture)
    if "answer" in rows:
        score = rows["score"][place]
        sure = number_or_none(rows["confidence"][place])
        about = f"accuracy {shown(score, 2)}" + ("" if sure is None else f", {sure:.0%} sure")
        right = score > 0
        said = rows["answer"][place]
    else:
        about = (
            f"CIDEr-D {shown(rows['cider'][place], 2)}, BLEU-4 {shown(rows['bleu_4'][place], 2)}"
        )
        right, said = None, rows["caption"][place]
    return Look(number, run.name, said or "(nothing)", about, right, *tiles)


def _tile(picture: NDArray[np.uint8] | None) -> Tile | None:
    return None if picture is None else Tile("the picture", embed(picture, WIDE))


def _figure(
    group: Group,
    chosen: Mapping[str, Sequence[int]],
    asked: Mapping[int, tuple[str, list[str]]],
    files: Mapping[int, str],
) -> Figure:
    """What the gallery says, for its files."""

    def rows() -> Iterator[Row]:
        for kind, places in chosen.items():
            for place in places:
                for run in group.runs:
                    own = {name: of[place] for name, of in run.rows.items() if name in SAID}
                    own["confidence"] = number_or_none(own["confidence"])
                    question, people = asked[place]
                    file = files[own["image_id"]]
                    about = {"question": question, "people": " | ".join(people), "file": file}
                    yield {"kind": kind, "run": run.name, **own, **about}

    says = "Chosen by rule, not by hand; each picture stands here once."
    return Figure("examples", "Examples", says, list(rows()))


SAID = ("id", "image_id", "answer", "score", "caption", "bleu_4", "cider", "confidence")
