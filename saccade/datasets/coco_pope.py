"""Questions about COCO's objects, made as POPE is: is there such an object in the image?

Of each image three objects that are there and three that are not, which are drawn at random, the
commonest of all, or those that are oftenest seen together with the one that is there. Layout:
COCO's `instances_{train,val}{2014,2017}.json`. Source: Li et al. 2023, section 5; AoiDragon/POPE
`main.py`.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, SeveralFit, files_like
from saccade.data.options import as_whole, one_of
from saccade.data.records import Collection, ImageRecord, Question, Split
from saccade.datasets.coco_captions import read_instances

PARTS: tuple[Split, ...] = ("train", "val")
STRATEGIES = ("random", "popular", "adversarial")
OF_EACH = 3
"""Objects that are there, and as many that are not, of each image."""
Objects = Mapping[int, Sequence[str]]
"""The categories in each image, by its id."""


def read(
    root: Path,
    strategy: str = "",
    year: str = "",
    count: str | int = 500,
    seed: str | int = 0,
    images: str = "",
) -> Collection:
    """Make the questions about `count` images of each split that have three kinds of objects.

    `strategy` is one of `STRATEGIES`, by default all three, each a type of question. `year` and
    `images` are as for COCO's captions. Which images are taken, and which objects at random, the
    `seed` decides. Raises BadData where no image has enough objects.
    """
    strategies = [one_of("strategy", strategy, STRATEGIES)] if strategy else STRATEGIES
    number, drawing = as_whole("count", count), random.Random(as_whole("seed", seed))
    files = ImageFiles(root, images or None)
    records, questions = list[ImageRecord](), list[Question]()
    for path, split in _files(root, year):
        names_of, every = read_instances(path)
        objects = {id_: names for id_, names in every.items() if len(names) >= OF_EACH}
        if not objects:
            message = f"no image has {OF_EACH} kinds of objects to ask for"
            raise BadData(message, location=path, hint="Take COCO's released file.")
        chosen = sorted(drawing.sample(sorted(objects), min(number, len(objects))))
        part = path.stem.removeprefix("instances_")
        places = (part, f"images/{part}", "images", "")
        for id_ in chosen:
            file = files.find(names_of[id_], folders=places, anywhere=True)
            records.append(ImageRecord(id_, file, split))
        asked_about = {id_: objects[id_] for id_ in chosen}
        for how in strategies:
            for image, name, there in ask(asked_about, how, drawing):
                answer = "yes" if there else "no"
                text = f"Is there {'an' if name[0] in 'aeiou' else 'a'} {name} in the image?"
                about = len(questions) + 1, image, text, split, (answer,), answer, "yes/no", how
                questions.append(Question(*about))
    return Collection("coco-pope", str(files.root), records, questions)


def ask(objects: Objects, how: str, drawing: random.Random) -> Iterator[tuple[int, str, bool]]:
    """Image, object, and whether it is there: three objects of each image in their order, behind
    each one that is not there, none of them twice. One that cannot be had is drawn at random.
    """
    common = Counter(name for names in objects.values() for name in names)
    together: dict[str, Counter[str]] = {name: Counter() for name in common}
    for names in objects.values():
        for name in names:
            together[name].update(other for other in names if other != name)
    for image, names in objects.items():
        left = [name for name in common if name not in names]
        for name in names[:OF_EACH]:
            yield image, name, True
            ranked = {"popular": common, "adversarial": together[name]}.get(how, Counter[str]())
            likely = (other for other, _ in ranked.most_common() if other in left)
            other = next(likely, None) or (drawing.choice(left) if left else None)
            if other is not None:
                left.remove(other)
                yield image, other, False


def _files(root: Path, year: str) -> list[tuple[Path, Split]]:
    """The files of the objects, of one year. Raises BadData where there is none, or two years'."""
    found = [
        (path, split)
        for split in PARTS
        for path in files_like(root, rf"instances_{split}{year or '(?:2014|2017)'}\.json")
    ]
    if not found:
        hint = "Check --root; it should hold annotations/ as COCO's archives unpack."
        raise BadData("holds no instances_val2017.json of COCO", location=root, hint=hint)
    years = sorted({path.stem[-4:] for path, _ in found})
    if len(years) > 1:
        message = "holds objects of 2014 and of 2017, which share their images"
        raise SeveralFit(message, location=root, option="year", choices=tuple(years))
    return found


def recognise(root: Path) -> str | None:
    """COCO's objects where no questions or captions are beside them, to which they then belong."""
    found = files_like(root, r"instances_(?:train|val)(?:2014|2017)\.json")
    others = r"(?!(?:instances|stuff|panoptic|person_keypoints)_).*\.json"
    if not found or files_like(root, others):
        return None
    return f"there is {found[0].relative_to(root).as_posix()}"
