"""Examples of what the runs said: where all are right, where all are wrong, where they disagree.

Chosen by rule from the judged rows, never by hand. Where a run looked is drawn from its stored
features, so that the page shows what was judged and needs no backbone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.comparison.figures import Figure, Row, number_or_none, shown
from saccade.comparison.runs import Contender, Group
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadImage, SaccadeError
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.experiment import assemble_for_run
from saccade.features.store import FeatureStore
from saccade.inference.explain import HIDDEN, heat_of, image_of, occlude_answer, occlude_caption
from saccade.inference.predictor import EncodedImage, Run
from saccade.viz.attention import overlay
from saccade.viz.html import Tile, embed

# Which examples the page shows: chosen by rule from how right they were judged, never by hand.

KINDS = ("good", "bad", "disagreed")


def choose(group: Group, count: int) -> dict[str, list[int]]:
    """Rows of good, bad and disagreed-on examples, `count` of each at most, all other images.

    A single run agrees with itself: there is no third kind then.
    """
    column = TASK_INFO[group.task].example_metric
    scores = np.array([run.rows[column] for run in group.runs], float)  # (runs, examples)
    worst, best = scores.min(axis=0), scores.max(axis=0)
    if TASK_INFO[group.task].asks_question:
        right = scores > 0
        split = np.flatnonzero(right.any(axis=0) & ~right.all(axis=0))
        halves = np.abs(right[:, split].mean(axis=0) - 0.5)
        agreed = np.flatnonzero(right.all(axis=0))
        ordered = {
            "disagreed": split[np.lexsort((-best[split], halves))],
            "good": agreed[np.argsort(-worst[agreed], kind="stable")],
            "bad": np.flatnonzero(~right.any(axis=0)),
        }
    else:
        ordered = {
            "disagreed": np.argsort(worst - best, kind="stable"),
            "good": np.argsort(-worst, kind="stable"),
            "bad": np.argsort(best, kind="stable"),
        }
    if len(group.runs) == 1:
        del ordered["disagreed"]
    images: set[int] = set()
    rows = group.runs[0].rows
    chosen = {kind: _varied(order, rows, count, images) for kind, order in ordered.items()}
    return {kind: chosen[kind] for kind in KINDS if kind in chosen}


def _varied(
    order: NDArray[np.int64], rows: Mapping[str, Sequence[object]], count: int, images: set[int]
) -> list[int]:
    """The first of an order, each of another image and, while there are, of another type."""
    types, found = set[object](), list[int]()
    for new_types_alone in (True, False) if "question_type" in rows else (False,):
        for place in order.tolist():
            image = rows["image_id"][place]
            assert isinstance(image, int)
            kind = rows["question_type"][place] if new_types_alone else None
            if len(found) < count and image not in images and kind not in types:
                found.append(place)
                images.add(image)
                types |= {kind} if new_types_alone else set()
    return sorted(found, key=order.tolist().index)


# Where a run looked when it was judged, drawn onto the image.

WORDS = 16
"""So many words of a caption, at most, are drawn."""
EVEN = 1.5
"""So many times its fair share, at least, gets a region that stands out."""
WIDE, NARROW = 300, 120
"""Pixels of the longer side: of the image and an answer's map, of a word's map."""

Drawer = Callable[[int, str, NDArray[np.uint8]], tuple[list[Tile], str]]
"""(image's id, question, image) -> maps, and what they are or why there are none."""


def drawer(run: Contender, folder: DataFolder, device: str, features: str | None) -> Drawer:
    """How to draw where a run looks; one that cannot be drawn says why."""
    try:
        store = assemble_for_run(run.opened, folder, features or run.scores["features"]).store
        seer = Run(run.opened, choose_device(device))
    except SaccadeError as error:
        why = f"no maps: {error.message}"
        return lambda *_: ([], why)

    def draw(id_: int, question: str, image: NDArray[np.uint8]) -> tuple[list[Tile], str]:
        encoded = look_stored(seer, store, id_)
        if encoded is None:
            return [], "no map: the image has no features"
        try:
            if TASK_INFO[seer.task].asks_question:
                return _answer_maps(seer, encoded, question, image)
            return _word_maps(seer, encoded, run.scores["beam_size"], image)
        except BadConfig:
            return [], "no map: the features are one vector for the whole image"

    return draw


def look_stored(run: Run, store: FeatureStore, id_: int) -> EncodedImage | None:
    """An image as the run was judged on it, from the store; nothing where it has no features."""
    row = store.rows([id_])
    count = int(store.counts[row][0])
    if not count:
        return None
    stored, mask = (torch.from_numpy(part[:, :count]) for part in store.read(row))
    regions, mask = stored.to(run.device).float(), mask.to(run.device)
    cells = None
    if run.encoder is not None:
        with torch.inference_mode():
            regions, mask = run.encoder.encode(regions)
        cells = run.encoder.spec.boxes
    return EncodedImage(regions, mask, store.boxes(row, cells)[0][: regions.shape[1]])


def _answer_maps(
    run: Run, encoded: EncodedImage, question: str, image: NDArray[np.uint8]
) -> tuple[list[Tile], str]:
    answer, says = run.ask(encoded, question), "where it looked"
    if answer.attention is None:
        answer, says = occlude_answer(run, encoded, question, answer), HIDDEN
    assert answer.attention is not None
    weights = answer.attention.mean(axis=0)
    if len(answer.attention) > 1:
        says += f", mean of {len(answer.attention)} glimpses"
    if weights.max() * len(weights) < EVEN * weights.sum():
        says += "; everywhere about alike"
    glow = overlay(image, heat_of(run, weights, answer.boxes, image))
    return [Tile(says, embed(glow, WIDE))], ""


def _word_maps(
    run: Run, encoded: EncodedImage, beam_size: int, image: NDArray[np.uint8]
) -> tuple[list[Tile], str]:
    captioned, says = run.caption(encoded, beam_size=beam_size), "where it looked for each word"
    if any(word.attention is None for word in captioned.words):
        captioned = occlude_caption(run, encoded, captioned)
        says = f"no attention; for each word {HIDDEN}"
    tiles = [
        Tile(
            word.text,
            embed(overlay(image, heat_of(run, word.attention, captioned.boxes, image)), NARROW),
        )
        for word in captioned.words[:WORDS]
        if word.attention is not None
    ]
    return tiles, says


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
    """One question or image with all that was said."""

    question: str
    """Empty for captions."""
    people: Sequence[str]
    image: Tile | None
    """None where the image file cannot be read."""
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
        "good": "The images whose worst caption has the highest CIDEr-D.",
        "bad": "The images whose best caption has the lowest CIDEr-D.",
        "disagreed": "The images whose captions differ most in CIDEr-D.",
    },
}


def gallery(
    group: Group, folder: DataFolder, count: int, device: str, features: str | None = None
) -> Gallery:
    """Draw the examples of a group; each run is loaded once, one after the other."""
    chosen = choose(group, count)
    places = [place for some in chosen.values() for place in some]
    files = {image.id: image.file for image in folder.images(group.split)}
    images: dict[int, NDArray[np.uint8] | None] = {}
    for place in places:
        id_ = int(group.runs[0].rows["image_id"][place])
        try:
            images[place] = image_of(folder.image_root / files[id_])
        except BadImage:
            images[place] = None
    asked = _questions(group, folder, places)
    looks: dict[int, list[Look]] = {place: [] for place in places}
    for number, run in enumerate(group.runs):
        draw = drawer(run, folder, device, features) if number < MAPPED else None
        for place in places:
            looks[place].append(_look(run, number, place, asked[place][0], images[place], draw))
    shelves = [
        Shelf(
            TITLES[kind],
            SAYS[group.task][kind],
            [Example(*asked[place], _tile(images[place]), looks[place]) for place in chosen[kind]],
        )
        for kind in chosen
    ]
    return Gallery(_figure(group, chosen, asked, files), shelves)


def _questions(
    group: Group, folder: DataFolder, places: Sequence[int]
) -> dict[int, tuple[str, list[str]]]:
    """What was asked, and what people said, of each chosen row."""
    rows = group.runs[0].rows
    if TASK_INFO[group.task].asks_question:
        by_id = {question.id: question for question in folder.questions(group.split)}
        asked = {place: by_id[rows["id"][place]] for place in places}
        return {
            place: (question.text, list(dict.fromkeys(question.answers)))
            for place, question in asked.items()
        }
    people = folder.captions_by_image(group.split)
    return {
        place: ("", [" ".join(caption.words) for caption in people[rows["image_id"][place]]])
        for place in places
    }


def _look(
    run: Contender,
    number: int,
    place: int,
    question: str,
    image: NDArray[np.uint8] | None,
    draw: Drawer | None,
) -> Look:
    rows = run.rows
    tiles: tuple[Sequence[Tile], str] = ((), "")
    if draw is not None and image is not None:
        tiles = draw(int(rows["image_id"][place]), question, image)
    if "answer" in rows:
        score = rows["accuracy"][place]
        confidence = number_or_none(rows["confidence"][place])
        about = f"accuracy {shown(score, 2)}" + (
            "" if confidence is None else f", {confidence:.0%} sure"
        )
        right = score > 0
        said = rows["answer"][place]
    else:
        about = (
            f"CIDEr-D {shown(rows['cider'][place], 2)}, BLEU-4 {shown(rows['bleu_4'][place], 2)}"
        )
        right, said = None, rows["caption"][place]
    return Look(number, run.name, said or "(nothing)", about, right, *tiles)


def _tile(image: NDArray[np.uint8] | None) -> Tile | None:
    return None if image is None else Tile("the image", embed(image, WIDE))


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

    says = "Chosen by rule, not by hand; each image stands here once."
    return Figure("examples", "Examples", says, list(rows()))


SAID = ("id", "image_id", "answer", "accuracy", "caption", "bleu_4", "cider", "confidence")
