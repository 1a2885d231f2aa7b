"""The Shapes world: a data set made on the spot, in the layouts of the real ones.

Coloured shapes on patterned grounds, questions that cannot be answered without looking, ten
people's answers, five captions. It is read back by the readers of VQA v2 and of Karpathy's files
(`prepare("vqa-v2+karpathy", root, out)`), so a demonstration or a test goes the way of real data.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from saccade.core.errors import BadConfig
from saccade.core.files import write_text
from saccade.data.reading import columns, read_json, record_list
from saccade.data.records import SPLITS, Split
from saccade.data.shape_scenes import Scene, Shape, draw, make_scene
from saccade.data.shape_talk import Asked, Balance, answers_to, captions_of
from saccade.text.vocabulary import caption_words

PICTURES: Mapping[Split, int] = MappingProxyType({"train": 1500, "val": 250, "test": 250})
QUESTIONS = 5
"""Per picture."""
LICENCE = "made by saccade from a seed: free of rights"
"""Of the pictures and the words; CC0 1.0 where a licence is needed."""


class Seen(NamedTuple):
    """A picture of the Shapes world, and the truth about it."""

    id: int
    file: str
    """Below the folder given to `make_shapes`."""
    split: Split
    scene: Scene


def make_shapes(
    out: Path, *, pictures: Mapping[Split, int] = PICTURES, seed: int = 0, size: int = 128
) -> None:
    """Write a Shapes world: equal numbers and seed give equal pixels and texts on any machine.

    `pictures` is how many each split gets (the first ones stay the same when there are more),
    `size` the side of a picture in pixels. Writes `images/`, per split
    `v2_OpenEnded_SPLIT_questions.json` and `v2_SPLIT_annotations.json`, `dataset_shapes.json`,
    `boxes.json` (question id to the boxes, 0..1, of the shapes that it is about, for questions
    about particular ones), and `scenes.json` (see `read_scenes`).
    """
    if size < 32 or not pictures or set(pictures) - set(SPLITS) or min(pictures.values()) < 1:
        what = f"a Shapes world of {dict(pictures)} pictures of {size} pixels cannot be made"
        cure = f"Give at least one picture for some of {', '.join(SPLITS)}; size from 32."
        raise BadConfig(what, cure=cure)
    (out / "images").mkdir(parents=True, exist_ok=True)
    boxes: dict[int, list[tuple[float, ...]]] = {}
    images: list[dict[str, Any]] = []
    scenes: list[dict[str, Any]] = []
    for split in (split for split in SPLITS if split in pictures):
        balance = Balance()
        questions: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for seen, random in _scenes(split, pictures[split], seed):
            Image.fromarray(draw(seen.scene, size, random)).save(out / seen.file, compress_level=1)
            scenes.append(_scene_record(seen))
            images.append(_karpathy_record(seen, captions_of(seen.scene, random), len(images)))
            for place, asked in enumerate(balance.choose(seen.scene, QUESTIONS, random)):
                number = seen.id * 1000 + place
                record = {"question_id": number, "image_id": seen.id}
                questions.append({**record, "question": asked.text})
                annotations.append({**record, **_annotation(asked, random)})
                if asked.about:
                    boxes[number] = [shape.box for shape in asked.about]
        about = _header(split)
        asked_about = {**about, "task_type": "Open-Ended", "questions": questions}
        _write_json(out / f"v2_OpenEnded_{split}_questions.json", asked_about)
        _write_json(out / f"v2_{split}_annotations.json", {**about, "annotations": annotations})
    _write_json(out / "boxes.json", boxes)
    _write_json(out / "scenes.json", {"size": size, "scenes": scenes})
    _write_json(
        out / "dataset_shapes.json", {"images": images, "dataset": "shapes", "license": LICENCE}
    )


def _scenes(split: Split, count: int, seed: int) -> Iterator[tuple[Seen, np.random.Generator]]:
    """Every picture has its own random numbers, so none depends on how many others there are."""
    part = SPLITS.index(split)
    for place in range(count):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, part, place))))
        number = part * 1_000_000 + place + 1
        scene = make_scene(random)
        yield Seen(number, f"images/{number:012}.png", split, scene), random


def _header(split: Split) -> dict[str, Any]:
    return {
        "info": {"description": "Shapes, a made-up world in the layout of VQA v2", "version": "1"},
        "data_type": "shapes",
        "data_subtype": split,
        "license": {"name": LICENCE},
    }


def _annotation(asked: Asked, random: np.random.Generator) -> dict[str, Any]:
    return {
        "question_type": asked.question_type,
        "answer_type": asked.answer_type,
        "multiple_choice_answer": asked.answer,
        "answers": [
            {"answer": answer, "answer_confidence": sure, "answer_id": place}
            for place, (answer, sure) in enumerate(answers_to(asked, random), start=1)
        ],
    }


def _karpathy_record(seen: Seen, captions: list[str], place: int) -> dict[str, Any]:
    first = place * len(captions)
    sentences = [
        {"tokens": caption_words(text), "raw": text, "imgid": place, "sentid": first + number}
        for number, text in enumerate(captions)
    ]
    folder, _, name = seen.file.rpartition("/")
    return {
        "filepath": folder,
        "filename": name,
        "imgid": place,
        "cocoid": seen.id,
        "split": seen.split,
        "sentids": [sentence["sentid"] for sentence in sentences],
        "sentences": sentences,
    }


def _scene_record(seen: Seen) -> dict[str, Any]:
    return {
        "id": seen.id,
        "file": seen.file,
        "split": seen.split,
        "texture": seen.scene.texture,
        "shapes": [{**shape._asdict(), "box": shape.box} for shape in seen.scene.shapes],
    }


def _write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value))


def read_scenes(root: Path) -> list[Seen]:
    """Read back the truth about every picture that `make_shapes` wrote below `root`.

    `shape_scenes.cell_labels(seen.scene.shapes, rows, columns)` says what each grid cell shows.
    """
    path = root / "scenes.json"
    records = record_list(read_json(path, dict), "scenes", path=path, expected="scenes of Shapes")
    fields = {"id": int, "file": str, "split": str, "texture": str, "shapes": list}
    rows = zip(*columns(records, fields, path=path, name="scene"), strict=True)
    return [
        Seen(number, file, split, Scene(texture, tuple(_shape(shape) for shape in shapes)))
        for number, file, split, texture, shapes in rows
    ]


def _shape(record: dict[str, Any]) -> Shape:
    return Shape(**{field: record[field] for field in Shape._fields})
