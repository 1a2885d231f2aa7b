"""The Shapes world: a data set made on the spot, in the layouts of the real ones.

Coloured shapes on patterned grounds, questions that cannot be answered without looking, ten
people's answers, five captions. It is read back by the readers of VQA v2 and of Karpathy's files
(`prepare("vqa-v2+karpathy", root, out)`), so a demonstration or a test goes the way of real data.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saccade.core.errors import BadConfig
from saccade.core.files import write_text
from saccade.data.reading import columns, read_json, record_list
from saccade.data.records import SPLITS, Split
from saccade.datasets.shapes_scenes import COLORS, KINDS, Scene, Shape, draw, make_scene
from saccade.text.tokenizers import caption_words

# What people would ask, answer and say about a scene of shapes.

HUMANS = 10
CAPTIONS = 5
TITLE = "a picture of "

SHARES = {
    "color": 5,
    "shape": 5,
    "position": 3,
    "exists": 3,
    "count": 2,
    "beside": 1,
    "larger": 1,
}
"""Relative frequency of each kind of question. Like people, mostly "what" and "where"."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "circle": ("round", "ball", "disc"),
    "square": ("box", "rectangle"),
    "triangle": ("pyramid", "triangular"),
    "star": ("star shape", "5 pointed star"),
    "cross": ("plus", "plus sign", "x"),
    "red": ("dark red", "crimson"),
    "yellow": ("gold", "golden"),
    "green": ("dark green",),
    "blue": ("dark blue", "royal blue"),
    "purple": ("violet", "lilac"),
    "black": ("dark gray", "charcoal"),
    "top left": ("upper left", "left", "top"),
    "top right": ("upper right", "right", "top"),
    "bottom left": ("lower left", "left", "bottom"),
    "bottom right": ("lower right", "right", "bottom"),
}
MISTAKES: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "shape": KINDS,
    "position": ("top left", "top right", "bottom left", "bottom right"),
    "count": ("0", "1", "2", "3", "4", "5"),
}


class Asked(NamedTuple):
    """A question with its true answer."""

    kind: str
    """exists, count, color, shape, position, beside or larger."""
    wording: str
    """The key of `Balance`: the text, or its pattern where texts are too many."""
    text: str
    answer: str
    about: tuple[Shape, ...]
    """The shapes that the question is about; none where it is about no particular one."""

    @property
    def answer_type(self) -> str:
        if self.answer in ("yes", "no"):
            return "yes/no"
        return "number" if self.kind == "count" else "other"

    @property
    def question_type(self) -> str:
        """The longest opening that is in the official list of VQA question types."""
        known = (
            "what color is the",
            "how many",
            "is there a",
            "are there any",
            "where is the",
            "is the",
            "what",
        )
        return next(start for start in known if self.text.lower().startswith(start))


def questions_about(scene: Scene) -> dict[str, list[Asked]]:
    """All that can sensibly be asked about a scene, by kind."""
    found: dict[str, list[Asked]] = {}
    for ask in (_exist_and_count, _single_out, _compare):
        for asked in ask(scene.shapes):
            found.setdefault(asked.kind, []).append(asked)
    return found


def _exist_and_count(shapes: Sequence[Shape]) -> Iterator[Asked]:
    for kind in KINDS:
        found = tuple(shape for shape in shapes if shape.kind == kind)
        text = f"Is there a {kind}?"
        yield Asked("exists", text, text, "yes" if found else "no", found)
        for color in COLORS:
            both = tuple(shape for shape in found if shape.color == color)
            text = f"Is there a {color} {kind}?"
            yield Asked("exists", f"{kind} of a colour", text, "yes" if both else "no", both)
        text = f"How many {kind}{'es' if kind == 'cross' else 's'} are there?"
        yield Asked("count", text, text, str(len(found)), found)
    for color in COLORS:
        found = tuple(shape for shape in shapes if shape.color == color)
        text = f"Are there any {color} shapes?"
        yield Asked("exists", text, text, "yes" if found else "no", found)
        text = f"How many {color} shapes are there?"
        yield Asked("count", text, text, str(len(found)), found)
    text = "How many shapes are there?"
    yield Asked("count", text, text, str(len(shapes)), ())


def _single_out(shapes: Sequence[Shape]) -> Iterator[Asked]:
    """Colour, shape and position of each shape that words can tell from the others."""
    kinds = Counter(shape.kind for shape in shapes)
    colors = Counter(shape.color for shape in shapes)
    sized_kinds = Counter((shape.size, shape.kind) for shape in shapes)
    sized_colors = Counter((shape.size, shape.color) for shape in shapes)
    for shape in shapes:
        if sized_kinds[shape.size, shape.kind] == 1:
            size = "" if kinds[shape.kind] == 1 else f"{shape.size} "
            text = f"What color is the {size}{shape.kind}?"
            yield Asked("color", text, text, shape.color, (shape,))
        if sized_colors[shape.size, shape.color] == 1:
            size = "" if colors[shape.color] == 1 else f"{shape.size} "
            text = f"What shape is the {size}{shape.color} thing?"
            yield Asked("shape", text, text, shape.kind, (shape,))
        if min(abs(shape.x - 0.5), abs(shape.y - 0.5)) >= 0.08:  # nearer, people would not agree
            across = "left" if shape.x < 0.5 else "right"
            place = f"{'top' if shape.y < 0.5 else 'bottom'} {across}"
            text = f"Where is the {shape.kind if kinds[shape.kind] == 1 else shape.name}?"
            yield Asked("position", text, text, place, (shape,))


def _compare(shapes: Sequence[Shape]) -> Iterator[Asked]:
    for pair in combinations(shapes, 2):
        for one, other in (pair, pair[::-1]):
            for kind, relation, difference, least in (
                ("beside", "left of", other.x - one.x, 0.15),
                ("beside", "above", other.y - one.y, 0.15),
                ("larger", "larger than", one.radius - other.radius, 0.04),
            ):
                if abs(difference) > least:
                    text = f"Is the {one.name} {relation} the {other.name}?"
                    answer = "yes" if difference > 0 else "no"
                    yield Asked(kind, relation, text, answer, (one, other))


class Balance:
    """Chooses questions so that each answer to a wording is given as often as any other."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()

    def choose(self, scene: Scene, how_many: int, random: np.random.Generator) -> list[Asked]:
        """Pick different questions, their kinds by lot, of each kind the least often answered."""
        by_kind = questions_about(scene)
        chosen: list[Asked] = []
        while len(chosen) < how_many:
            kinds = [kind for kind in SHARES if by_kind.get(kind)]
            total = np.cumsum([SHARES[kind] for kind in kinds])
            kind = kinds[int(np.searchsorted(total, random.random() * total[-1], side="right"))]
            lots = random.random(len(by_kind[kind]))
            _, _, question = min(
                (self.asked[asked.wording, asked.answer], lot, asked)
                for asked, lot in zip(by_kind[kind], lots, strict=True)
            )
            self.asked[question.wording, question.answer] += 1
            by_kind[kind].remove(question)
            chosen.append(question)
        return chosen


def answers_to(question: Asked, random: np.random.Generator) -> list[tuple[str, str]]:
    """Ten people's answers, each with how sure they were ("yes" or "maybe").

    At least seven give the true answer, so that it scores 100 in the official measure.
    """
    wrong = int(np.searchsorted((0.6, 0.85, 0.95), random.random()))
    if question.answer_type == "yes/no":
        wrong = min(wrong, 1)
    answers = [(question.answer, "yes")] * HUMANS
    for place in sorted({int(place) for place in random.integers(HUMANS, size=wrong)}):
        if question.answer_type == "yes/no":
            other = "no" if question.answer == "yes" else "yes"
        else:  # another word for it, or a mistake
            words = SYNONYMS.get(question.answer, ())
            if not words or random.random() < 0.4:
                words = tuple(w for w in MISTAKES[question.kind] if w != question.answer)
            other = words[int(random.integers(len(words)))]
        answers[place] = (other, "maybe")
    return answers


def captions_of(scene: Scene, random: np.random.Generator) -> list[str]:
    """Five people's sentences: the shapes from left to right, with or without size and ground."""
    sentences = []
    for _ in range(CAPTIONS):
        style, with_sizes = random.random(), random.random() < 0.8
        names = [
            f"a {shape.size} {shape.name}" if with_sizes else f"a {shape.name}"
            for shape in scene.shapes
        ]
        sentence = f"{', '.join(names[:-1])} and {names[-1]}"
        if style < 0.55:
            sentence += f" on a {scene.texture} background"
        elif style < 0.7:
            sentence = TITLE + sentence
        elif style < 0.8:
            sentence = f"there is {sentence}"
        sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
    return sentences


IMAGES: Mapping[Split, int] = MappingProxyType({"train": 1500, "val": 250, "test": 250})
QUESTIONS = 5
"""Per image."""
DESCRIPTION = "Shapes, a made-up world in the layout of VQA v2"
LICENCE = "made by saccade from a seed: free of rights"
"""Of the images and the words; CC0 1.0 where a licence is needed."""


class ShapesImage(NamedTuple):
    """An image of the Shapes world, and the ground truth about it."""

    id: int
    file: str
    """Below the folder given to `make_shapes`."""
    split: Split
    scene: Scene


def make_shapes(
    out: Path, *, images: Mapping[Split, int] = IMAGES, seed: int = 0, size: int = 128
) -> None:
    """Write a Shapes world: equal numbers and seed give equal pixels and texts on any machine.

    `images` is how many each split gets (the first ones stay the same when there are more),
    `size` the side of an image in pixels. Writes `images/`, per split
    `v2_OpenEnded_SPLIT_questions.json` and `v2_SPLIT_annotations.json`, `dataset_shapes.json`,
    `boxes.json` (question id to the boxes, 0..1, of the shapes that it is about, for questions
    about particular ones), and `scenes.json` (see `read_scenes`).
    """
    if size < 32 or not images or set(images) - set(SPLITS) or min(images.values()) < 1:
        message = f"a Shapes world of {dict(images)} images of {size} pixels cannot be made"
        hint = f"Give at least one image for some of {', '.join(SPLITS)}; size from 32."
        raise BadConfig(message, hint=hint)
    (out / "images").mkdir(parents=True, exist_ok=True)
    boxes: dict[int, list[tuple[float, ...]]] = {}
    image_entries: list[dict[str, Any]] = []
    scenes: list[dict[str, Any]] = []
    for split in (split for split in SPLITS if split in images):
        balance = Balance()
        questions: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image, random in _scenes(split, images[split], seed):
            pixels = draw(image.scene, size, random)
            Image.fromarray(pixels).save(out / image.file, compress_level=1)
            about = {"id": image.id, "file": image.file, "split": split}
            shapes = [{**shape._asdict(), "box": shape.box} for shape in image.scene.shapes]
            scenes.append({**about, "texture": image.scene.texture, "shapes": shapes})
            captions = captions_of(image.scene, random)
            image_entries.append(_karpathy_record(image, captions, len(image_entries)))
            for place, asked in enumerate(balance.choose(image.scene, QUESTIONS, random)):
                number = image.id * 1000 + place
                record = {"question_id": number, "image_id": image.id}
                questions.append({**record, "question": asked.text})
                annotations.append({**record, **_annotation(asked, random)})
                if asked.about:
                    boxes[number] = [shape.box for shape in asked.about]
        about = {
            "info": {"description": DESCRIPTION, "version": "1"},
            "data_type": "shapes",
            "data_subtype": split,
            "license": {"name": LICENCE},
        }
        asked_about = {**about, "task_type": "Open-Ended", "questions": questions}
        answered = {**about, "annotations": annotations}
        write_text(out / f"v2_OpenEnded_{split}_questions.json", json.dumps(asked_about))
        write_text(out / f"v2_{split}_annotations.json", json.dumps(answered))
    write_text(out / "boxes.json", json.dumps(boxes))
    write_text(out / "scenes.json", json.dumps({"size": size, "scenes": scenes}))
    whole = {"images": image_entries, "dataset": "shapes", "license": LICENCE}
    write_text(out / "dataset_shapes.json", json.dumps(whole))


def _scenes(
    split: Split, count: int, seed: int
) -> Iterator[tuple[ShapesImage, np.random.Generator]]:
    """Every image has its own random numbers, so none depends on how many others there are."""
    part = SPLITS.index(split)
    for place in range(count):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, part, place))))
        number = part * 1_000_000 + place + 1
        scene = make_scene(random)
        yield ShapesImage(number, f"images/{number:012}.png", split, scene), random


def _annotation(asked: Asked, random: np.random.Generator) -> dict[str, Any]:
    answers = [
        {"answer": answer, "answer_confidence": confidence, "answer_id": place}
        for place, (answer, confidence) in enumerate(answers_to(asked, random), start=1)
    ]
    return {
        "question_type": asked.question_type,
        "answer_type": asked.answer_type,
        "multiple_choice_answer": asked.answer,
        "answers": answers,
    }


def _karpathy_record(image: ShapesImage, captions: list[str], place: int) -> dict[str, Any]:
    first = place * len(captions)
    sentences = [
        {"tokens": caption_words(text), "raw": text, "imgid": place, "sentid": first + number}
        for number, text in enumerate(captions)
    ]
    folder, _, name = image.file.rpartition("/")
    return {
        "filepath": folder,
        "filename": name,
        "imgid": place,
        "cocoid": image.id,
        "split": image.split,
        "sentids": [sentence["sentid"] for sentence in sentences],
        "sentences": sentences,
    }


def read_scenes(root: Path) -> list[ShapesImage]:
    """Read back the ground truth about every image that `make_shapes` wrote below `root`.

    `shapes_scenes.cell_labels(image.scene.shapes, rows, columns)` gives the content of each cell.
    """
    path = root / "scenes.json"
    records = record_list(read_json(path, dict), "scenes", path=path, expected="scenes of Shapes")
    fields = {"id": int, "file": str, "split": str, "texture": str, "shapes": list}
    rows = zip(*columns(records, fields, path=path, name="scene"), strict=True)
    return [
        ShapesImage(number, file, split, Scene(texture, tuple(map(_shape, shapes))))
        for number, file, split, texture, shapes in rows
    ]


def _shape(record: dict[str, Any]) -> Shape:
    return Shape(**{field: record[field] for field in Shape._fields})
