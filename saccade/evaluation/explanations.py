"""Explained predictions of a split, or of image files: a page, its drawings, the same as data.

    index.html       a card for each prediction, see `explanations.html.j2`
    explained.jsonl  a line for each: what was asked, what people wrote, the prediction, its score,
                     the top region's box in pixels and its share of the attention
    images/ maps/    the images, and each with an attention map and a frame around its top region

Examples are predicted in batches and drawn one by one, so memory does not grow with their number.
"""

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from saccade.core.errors import BadConfig, BadData, BadImage, BadRun, SaccadeWarning
from saccade.core.files import folder_in_one_go
from saccade.core.progress import track
from saccade.core.run_files import EXPLANATIONS, faithfulness_sentence, refuse_other_files
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Split
from saccade.datasets.gqa import released_ids
from saccade.experiment import assemble_for_run
from saccade.features.store import FeatureStore
from saccade.inference.answers import Answer, GeneratedCaption
from saccade.inference.explain import (
    RegionMap,
    answer_map,
    encode_stored,
    explain_image,
    heat_of,
    image_and_size,
    top_region,
    word_maps,
)
from saccade.inference.predictor import EncodedImage, Run
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.models.catalogue import MODELS
from saccade.viz.attention import outline, overlay
from saccade.viz.html import Pixels, fill_file, jpeg

PAGE, DATA, IMAGES, MAPS = EXPLANATIONS
TEMPLATE = "evaluation/explanations.html.j2"
AT_ONCE = 32
"""Examples of a batch."""
NAMED = 20
"""Images that could not be explained and are named; the data names all."""
SMALLER = 2
"""Times: a word's map is smaller than the image."""

Only = Literal["right", "wrong"]
Row = dict[str, Any]
"""A line of the data."""
Prediction = Answer | GeneratedCaption


class Example(NamedTuple):
    """An image, with a question where the model answers one, and what people wrote."""

    id: int | str
    """As the data set released it; of a file that is in none, its path."""
    image: int
    """Equal for examples of one image."""
    file: Path
    question: str = ""
    ground_truth: tuple[str, ...] = ()


Encode = Callable[[Sequence[Example]], list[EncodedImage | str]]
"""The image of each example, or why there is none."""


@dataclass(frozen=True)
class Examples:
    """All examples of one page."""

    title: str
    each: Sequence[Example]
    encode: Encode
    kind: str = ""
    """"question" or "image", which an id is of; "" where it is a file's path."""
    revision: str | None = None
    """Of the VQA scorer; None where answers are not to be scored."""


class Chosen(NamedTuple):
    """Which predictions are explained."""

    split: Split | None = None
    """None for image files."""
    only: Only | None = None
    """Right answers are those that anybody gave: an accuracy above 0."""
    limit: int | None = None
    data: Path | None = None
    features: str | None = None


def explain(
    run: Run,
    files: Sequence[Path],
    question: str | None,
    out: Path,
    chosen: Chosen,
    beam_size: int | None = None,
) -> Path:
    """Explain a split, or files: see `saccade.explain`. Returns the page, or the PNG file."""
    if out.suffix.lower() == ".png":
        return explain_image(run, files[0], out, question, beam_size)
    refuse_other_files(out)
    if chosen.split is None:
        examples = _file_examples(run, files, question)
    else:
        examples = _split_examples(run, chosen.split, chosen)
    return _write(run, out, examples, chosen, beam_size)


def _split_examples(run: Run, split: Split, chosen: Chosen) -> Examples:
    """The questions of a split, or its images where the run writes captions.

    Images come from the feature store; from their files where the data folder has no store. Raises
    BadData where the split has no records, or none of what `only` needs; BadConfig for `only` where
    predictions are neither right nor wrong; BadRun, BadStore as `evaluate` does.
    """
    opened, asks = run.opened, TASK_INFO[run.task].asks_question
    only, path = chosen.only, chosen.data or opened.header.data
    if path is None:
        hint = "Give one by --data."
        raise BadRun("an imported run has no data folder", location=opened.path, hint=hint)
    folder = DataFolder(Path(path))
    each = list(_questions(folder, split) if asks else _images(folder, split))
    kind = "question" if asks else "image"
    if not each:
        others = [one for one in SPLITS if folder.about["splits"][one][f"{kind}s"]]
        hint = f"Choose another split with --split: {', '.join(others)}."
        raise BadData(f"the {split} split has no {kind}s", location=folder.path, hint=hint)
    if only and not asks:
        hint = "Leave --only out."
        raise BadConfig("captions are neither right nor wrong", location=opened.path, hint=hint)
    if only and not any(one.ground_truth for one in each):
        hint = "Leave --only out, or choose another split."
        raise BadData(
            f"the {split} split has no answers to score by", location=folder.path, hint=hint
        )
    encode = _from_files(run)
    if folder.stores():
        encode = _from_store(run, assemble_for_run(opened, folder, chosen.features).store)
    revision = folder.revision if asks else None
    return Examples(f"{folder.about['source']}, {split} split", each, encode, kind, revision)


def _file_examples(run: Run, files: Sequence[Path], question: str | None) -> Examples:
    """Image files, each asked the same question where the run answers one.

    Raises BadConfig where the question is missing or not wanted.
    """
    run.check_question(question)
    each = [Example(str(file), n, file, question or "") for n, file in enumerate(files)]
    return Examples(f"{len(files):,} image files", each, _from_files(run))


def _questions(folder: DataFolder, split: Split) -> Iterator[Example]:
    questions = folder.questions(split)
    names = released_ids(folder, "question", (one.id for one in questions))
    # Of all splits: a set that divides its questions anew leaves the images where they were.
    files = {image.id: folder.image_root / image.file for image in folder.images()}
    for name, one in zip(names, questions, strict=True):
        yield Example(name, one.image_id, files[one.image_id], one.text, one.answers)


def _images(folder: DataFolder, split: Split) -> Iterator[Example]:
    images, people = folder.images(split), folder.captions_by_image(split)
    names = released_ids(folder, "image", (one.id for one in images))
    for name, one in zip(names, images, strict=True):
        written = tuple(caption.text for caption in people.get(one.id, ()))
        yield Example(name, one.id, folder.image_root / one.file, "", written)


def _from_files(run: Run) -> Encode:
    def encode(examples: Sequence[Example]) -> list[EncodedImage | str]:
        found = list[EncodedImage | str]()
        for one in examples:
            try:
                found.append(run.encode(one.file))
            except BadImage as error:
                found.append(error.message)
        return found

    return encode


def _from_store(run: Run, store: FeatureStore) -> Encode:
    lacking = "has no features: it could not be read when they were extracted"

    def encode(examples: Sequence[Example]) -> list[EncodedImage | str]:
        found = encode_stored(run, store, [one.image for one in examples])
        return [image or lacking for image in found]

    return encode


def _write(
    run: Run,
    out: Path,
    examples: Examples,
    chosen: Chosen,
    beam_size: int | None,
) -> Path:
    """Explain examples in the folder `out`; returns the page.

    An image that cannot be read is left out and named, in a warning and in the data; the others go
    on. Raises BadImage where no image at all can be read.
    """
    only, limit = chosen.only, chosen.limit
    # All are gone through where it must be seen first which are right.
    each = examples.each if only else examples.each[:limit]
    counts, unread = Counter[str](), list[Row]()
    with folder_in_one_go(out) as folder:
        for name in (IMAGES, MAPS):
            (folder / name).mkdir()
        with (folder / DATA).open("w", encoding="utf-8") as stream:
            rows = _rows(_Drawings(run, folder), examples, each, only, beam_size)
            shown = islice(rows, limit) if only else rows
            for row in track(shown, "explaining", min(limit or len(each), len(each))):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                if "error" in row:
                    unread.append(row)
                else:
                    counts[_verdict(row)] += 1
        if unread and not counts:
            hint = "Check the paths; SACCADE_IMAGES says where a data folder's images are now."
            message = f"no image can be explained: {unread[0]['error']}"
            raise BadImage(message, location=unread[0]["file"], hint=hint)
        _warn(unread, out)
        content = _content(run, examples, counts, chosen) | {"unread": len(unread)}
        fill_file(folder / PAGE, TEMPLATE, rows=_read_rows(folder / DATA), **content)
    return out / PAGE


def _rows(
    drawings: "_Drawings",
    examples: Examples,
    each: Sequence[Example],
    only: Only | None,
    beam_size: int | None,
) -> Iterator[Row]:
    """The lines of the data, each with its drawings made."""
    run, images = drawings.run, dict[int, EncodedImage | str]()
    for start in range(0, len(each), AT_ONCE):
        group = each[start : start + AT_ONCE]
        # An image is encoded once; that of the last question may be the next one's, too.
        distinct = {one.image: one for one in group}
        images = {id_: images[id_] for id_ in distinct if id_ in images}
        new = [one for id_, one in distinct.items() if id_ not in images]
        images |= zip((one.image for one in new), examples.encode(new), strict=True)
        ready = [(one, image) for one in group if not isinstance(image := images[one.image], str)]
        predictions = iter(_predict(run, ready, beam_size))
        for place, one in enumerate(group, start):
            about: Row = {"id": one.id, "image_id": one.image, "file": str(one.file)}
            if isinstance(image := images[one.image], str):
                yield about | {"error": image}
                continue
            prediction = next(predictions)
            row = _described(one, prediction, examples.revision)
            if only and (row["accuracy"] is None or (row["accuracy"] > 0) != (only == "right")):
                continue
            try:
                yield about | row | drawings.draw(f"{place}", one, image, prediction)
            except BadImage as error:
                yield about | {"error": error.message}


def _predict(
    run: Run, ready: Sequence[tuple[Example, EncodedImage]], beam_size: int | None
) -> Sequence[Prediction]:
    images = [image for _, image in ready]
    if not images:
        return []
    if TASK_INFO[run.task].asks_question:
        return run.answers(images, [one.question for one, _ in ready])
    return run.captions(images, beam_size)


def _described(example: Example, prediction: Prediction, revision: str | None) -> Row:
    """What was asked, what people wrote, the prediction, and its score where there is one."""
    people = list(example.ground_truth)
    if isinstance(prediction, GeneratedCaption):
        log_p = prediction.log_probability
        return {"caption": prediction.text, "log_probability": log_p, "ground_truth": people}
    text, accuracy = prediction.text, None
    if revision is not None and people:
        accuracy = vqa_accuracy_of(text, people, revision)
    return {
        "question": example.question,
        "answer": text,
        "confidence": prediction.top[0][1],
        "top": prediction.top,
        **({} if prediction.prior is None else {"prior": prediction.prior}),
        "ground_truth": people,
        "accuracy": accuracy,
    }


def _verdict(row: Row) -> str:
    """What the page says of a line: "right", "partly right", "wrong", or "" where nobody knows."""
    accuracy = row.get("accuracy")
    if accuracy is None:
        return ""
    return "right" if accuracy == 1 else "partly right" if accuracy > 0 else "wrong"


class _Drawings:
    """The drawings of a page: each image once, and its maps."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.image = lru_cache(maxsize=2)(self._image)  # the next question is often about it, too

    def _image(self, number: int, file: Path) -> tuple[Pixels, tuple[int, int]]:
        pixels, size = image_and_size(file, self.run.opened.header.store.preprocessing.window)
        (self.folder / IMAGES / f"{number}.jpg").write_bytes(jpeg(pixels, max(pixels.shape)))
        return pixels, size

    def draw(
        self, name: str, example: Example, encoded: EncodedImage, prediction: Prediction
    ) -> Row:
        """Draw an example's maps; returns the names of the drawings, and the top regions."""
        pixels, (width, height) = self.image(example.image, example.file)
        row: Row = {"image": f"{IMAGES}/{example.image}.jpg", "width": width, "height": height}
        row["regions"] = len(encoded.boxes)
        try:
            if isinstance(prediction, Answer):
                found = answer_map(self.run, encoded, example.question, prediction)
                return (
                    row | {"map_shows": found.label} | self.map(name, found, encoded, row, pixels)
                )
            maps, row["map_shows"] = word_maps(self.run, encoded, prediction)
        except BadConfig as error:  # a single region, or a question without a word
            row["map_shows"] = f"no map: {error.message}"
            if not isinstance(prediction, Answer):
                return row | {"words": []}
            return row | {"map": None, "box": None, "region_share": None}
        small = np.asarray(Image.fromarray(pixels).reduce(SMALLER))
        words = [
            {"word": one.label} | self.map(f"{name}-{place:02}", one, encoded, row, small)
            for place, one in enumerate(maps)
        ]
        return row | {"words": words}

    def map(self, name: str, of: RegionMap, encoded: EncodedImage, row: Row, pixels: Pixels) -> Row:
        """Draw one map over the image, with a frame around the top region."""
        size = row["width"], row["height"]
        box, share = top_region(of.weights, encoded.boxes, *size)
        drawn = overlay(pixels, heat_of(self.run, of.weights, encoded.boxes, pixels))
        if box is not None:
            drawn = outline(drawn, np.divide(box, size * 2).tolist())
        file = f"{MAPS}/{name}.jpg"
        (self.folder / file).write_bytes(jpeg(drawn, max(drawn.shape)))
        return {"map": file, "box": box, "region_share": share}


def _warn(unread: Sequence[Row], out: Path) -> None:
    """Name the images that were left out."""
    notes = [f"{row['file']}: {row['error']}: left out" for row in unread[:NAMED]]
    if len(unread) > NAMED:
        notes.append(f"{len(unread) - NAMED} others were left out; {out / DATA} names them")
    for note in notes:
        warnings.warn(note, SaccadeWarning, stacklevel=3)


def _read_rows(path: Path) -> Iterator[Row]:
    """The lines of the data as the page shows them, read one by one."""
    with path.open(encoding="utf-8") as stream:
        for row in map(json.loads, stream):
            if "error" not in row:
                people = Counter(row["ground_truth"]).most_common()
                counted = [f"{text} ({n})" if n > 1 else text for text, n in people]
                yield row | {"verdict": _verdict(row), "people": counted}


def _content(run: Run, examples: Examples, counts: Counter[str], chosen: Chosen) -> Row:
    """What the page shows besides the lines."""
    header, asks = run.opened.header, TASK_INFO[run.task].asks_question
    return {
        "title": f"{MODELS[header.recipe.model.kind].title} on {examples.title}",
        "run": run.opened.path.resolve().name,
        "recipe": header.recipe_name,
        "asks": asks,
        "kind": examples.kind,
        "shown": counts.total(),
        "total": len(examples.each),
        "only": chosen.only,
        "faithfulness": faithfulness_sentence(run.opened.path, chosen.split),
        "counts": {
            kind: counts[kind] for kind in ("right", "partly right", "wrong") if counts[kind]
        },
        "version": version("saccade"),
    }
