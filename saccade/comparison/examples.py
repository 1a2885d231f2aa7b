"""Examples of predictions: where all runs are right, where all are wrong, where they disagree.

Selected by rule from the scored rows, never by hand. Attention maps are drawn from a run's stored
features, so that they belong to the very predictions that were scored and need no backbone.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from saccade.comparison.figures import Figure, Row, number_or_none, score
from saccade.comparison.runs import ComparedRun, Group
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadImage, SaccadeError
from saccade.core.formatting import NO_WORDS
from saccade.core.progress import track
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.experiment import assemble_for_run
from saccade.inference.explain import answer_map, encode_stored, image_of, map_tile, word_maps
from saccade.inference.predictor import EncodedImage, Run
from saccade.metrics.catalogue import METRICS
from saccade.viz.html import Pixels, Tile, embed

# Selection.


def select_examples(group: Group, count: int) -> dict[str, list[int]]:
    """Rows of good, bad and disagreed examples, at most `count` of each, all of other images.

    A single run agrees with itself: there is no third kind then.
    """
    scores = np.array([run.rows[group.info.example_metric] for run in group.runs], float)
    worst, best = scores.min(axis=0), scores.max(axis=0)  # over runs
    if group.info.asks_question:
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
    rows, images = group.runs[0].rows, set[int]()
    found = {kind: _varied(order.tolist(), rows, count, images) for kind, order in ordered.items()}
    return {kind: found[kind] for kind in TITLES if kind in found}


def _varied(
    order: list[int], rows: Mapping[str, Sequence[Any]], count: int, images: set[int]
) -> list[int]:
    """The first of an order, each of another image and, while there are, of another type."""
    types, found = set[str | None](), list[int]()
    for new_types_alone in (True, False) if "question_type" in rows else (False,):
        for place in order:
            image = rows["image_id"][place]
            kind = rows["question_type"][place] if new_types_alone else None
            if len(found) < count and image not in images and kind not in types:
                found.append(place)
                images.add(image)
                types |= {kind} if new_types_alone else set()
    return sorted(found, key=order.index)


# Attention maps of a run on the split.

WORDS = 16
"""Words of a caption, at most, that get a map."""
WIDE, NARROW = 300, 120
"""Pixels of the longer side: of the image and an answer's map, of a word's map."""

DrawMaps = Callable[[int, str, Pixels], tuple[list[Tile], str]]
"""(image id, question, image) -> maps, and what they show or why there are none."""


def map_drawer(run: ComparedRun, folder: DataFolder, device: str, features: str | None) -> DrawMaps:
    """A function that draws a run's attention maps; it says why where there are none."""
    if run.opened is None:
        return lambda *_: ([], "no maps: a file of predictions has no model")
    try:
        store = assemble_for_run(run.opened, folder, features or run.scores["features"]).store
        predictor = Run(run.opened, choose_device(device))
    except SaccadeError as error:
        why = f"no maps: {error.message}"
        return lambda *_: ([], why)

    def draw(id_: int, question: str, image: Pixels) -> tuple[list[Tile], str]:
        (encoded,) = encode_stored(predictor, store, [id_])
        if encoded is None:
            return [], "no map: the image has no features"
        try:
            return _maps(predictor, encoded, question, run.scores.get("beam_size"), image)
        except BadConfig:
            return [], "no map: the features are one vector for the whole image"

    return draw


def _maps(
    run: Run, encoded: EncodedImage, question: str, beam_size: int | None, image: Pixels
) -> tuple[list[Tile], str]:
    if TASK_INFO[run.task].asks_question:
        answer = run.ask(encoded, question, refuse_unknown=False)
        maps, side = [answer_map(run, encoded, question, answer)], WIDE
        text = ""
    else:
        maps, text = word_maps(run, encoded, run.caption(encoded, beam_size=beam_size))
        maps, side = maps[:WORDS], NARROW
    return [map_tile(run, *one, encoded.boxes, image, side) for one in maps], text


# The examples on the page.

MAPPED = 6
"""Runs, from the first on, whose maps are drawn; of the others the predictions are written."""
COLUMNS = ("id", "image_id", "answer", "accuracy", "caption", "bleu_4", "cider", "confidence")
"""Of the scored rows, in the files."""
TITLES = {"good": "All do well", "bad": "All do badly", "disagreed": "They disagree"}
RULES = {
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


Section = tuple[str, str, list[dict[str, Any]]]
"""Title, the rule that selected, and its examples, each by the names that the page has for it."""


def gallery(
    group: Group, folder: DataFolder, count: int, device: str, features: str | None = None
) -> tuple[Figure, list[Section]]:
    """The examples of a group, and their files; each run is loaded once, one after the other."""
    selected, scored = select_examples(group, count), group.runs[0].rows
    places = [place for some in selected.values() for place in some]
    files = {image.id: image.file for image in folder.images(group.split)}
    ids = {place: int(scored["image_id"][place]) for place in places}
    asks = group.info.asks_question
    questions = {one.id: one for one in folder.questions(group.split)} if asks else {}
    captions = {} if asks else folder.captions_by_image(group.split)
    images, examples = dict[int, Pixels | None](), dict[int, dict[str, Any]]()
    for place, id_ in ids.items():
        image = None
        with suppress(BadImage):
            image = image_of(folder.image_root / files[id_], folder.window)
        if asks:
            question = questions[scored["id"][place]]
            text, people = question.text, list(dict.fromkeys(question.answers))
        else:
            text, people = "", [" ".join(caption.words) for caption in captions[id_]]
        shown = None if image is None else embed(image, WIDE)
        examples[place] = {"question": text, "people": people, "image": shown, "predictions": []}
        images[place] = image
    for number, run in enumerate(group.runs):
        draw = map_drawer(run, folder, device, features) if number < MAPPED else None
        shown_images = zip(examples.items(), images.values(), strict=True)
        for (place, example), image in track(shown_images, f"maps of {run.name}", len(images)):
            drawn: tuple[list[Tile], str] = [], ""
            if draw is not None and image is not None:
                drawn = draw(ids[place], example["question"], image)
            example["predictions"].append(_prediction(group, number, place, *drawn))
    rows: list[Row] = []
    for kind, some in selected.items():
        for place in some:
            example, file = examples[place], files[ids[place]]
            said = " | ".join(example["people"])
            for run in group.runs:
                row: dict[str, Any] = {"kind": kind, "run": run.name}
                row |= {name: of[place] for name, of in run.rows.items() if name in COLUMNS}
                row["confidence"] = number_or_none(row["confidence"])
                rows.append(row | {"question": example["question"], "people": said, "file": file})
    rule = "Selected by rule, not by hand; no image is there twice."
    return Figure("examples", "Examples", rule, rows), [
        (TITLES[kind], RULES[group.task][kind], [examples[place] for place in some])
        for kind, some in selected.items()
    ]


def _prediction(
    group: Group, number: int, place: int, tiles: list[Tile], maps: str
) -> dict[str, Any]:
    """What a run predicted for a row; `maps` says what the maps show, or why there are none."""
    run = group.runs[number]
    row = {name: of[place] for name, of in run.rows.items()}
    confidence, answers = number_or_none(row["confidence"]), "answer" in row
    about = [
        f"{METRICS[name].title} {score(name, METRICS[name].example_scale * row[name])}"
        for name in group.info.main_metrics
    ]
    about += [] if confidence is None else [f"confidence {confidence:.0%}"]
    return {
        "run": number,
        "name": run.name,
        "text": row["answer" if answers else "caption"] or NO_WORDS,
        "about": ", ".join(about),
        "right": row[group.info.example_metric] > 0 if answers else None,
        "tiles": tiles,
        "maps": maps,
    }
