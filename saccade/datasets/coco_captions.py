"""COCO captions in the official layout: `captions_train2017.json`, `captions_val2017.json`.

2014 and 2017 hold the same images, divided differently; 2017's training set has most of 2014's
validation images. Layout: cocodataset.org, "Data format", caption annotations.
"""

from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, SeveralFit, by_name
from saccade.data.reading import columns, read_json, record_list, unique
from saccade.data.records import Caption, Collection, ImageRecord, Split, with_words
from saccade.text.tokenizers import caption_words

OBJECTS = "COCO objects (instances)"
PARTS: tuple[Split, ...] = ("train", "val")


def read(root: Path, year: str = "", images: str = "") -> Collection:
    """Read `captions_{train,val}YEAR.json` in `root` or `root/annotations`.

    `year` (2014 or 2017) chooses when both are there; `images` is the folder of the images (else
    `train2017/`, `images/train2017/`, `images/` and `root`). Captions without a word are left out
    and counted. `instances_{train,val}YEAR.json` beside them give the objects of each image, for
    CHAIR. Raises BadData for anything else than captions.
    """
    found = [
        (path, split, other)
        for other in ("2014", "2017")
        for split in PARTS
        for folder in ("", "annotations")
        if (path := root / folder / f"captions_{split}{other}.json").is_file()
        and year in ("", other)
    ]
    if not found:
        name = f"captions_train{year or '2017'}.json"
        hint = "Check --root; it should hold annotations/ as COCO's archives unpack."
        message = f"holds no {name}, neither directly nor in annotations/"
        raise BadData(message, location=root, hint=hint)
    if len({other for _, _, other in found}) > 1:
        message = "holds captions of 2014 and of 2017, which share their images"
        raise SeveralFit(message, location=root, option="year", choices=("2014", "2017"))
    files = ImageFiles(root, images or None)
    image_records: list[ImageRecord] = []
    captions: list[Caption] = []
    objects: dict[int, tuple[str, ...]] = {}
    for path, split, other in found:
        document = read_json(path, dict)
        records = record_list(document, "annotations", path=path, expected="COCO captions")
        names = _names_of_images(document, path)
        fields = {"id": int, "image_id": int, "caption": str}
        ids, image_ids, texts = columns(records, fields, path=path, name="caption")
        unique(ids, path=path, name="caption id")
        about = zip(ids, image_ids, strict=True)
        if stray := [pair for pair in about if pair[1] not in names]:
            first = "the first is caption {} about image {}".format(*stray[0])
            message = f"{len(stray)} captions are about images that its list lacks, {first}"
            hint = "The file was cut or mixed: take the released one."
            raise BadData(message, location=path, hint=hint)
        captions += (
            Caption(number, image, text, caption_words(text), split)
            for number, image, text in zip(ids, image_ids, texts, strict=True)
        )
        places = (f"{split}{other}", f"images/{split}{other}", "images", "")
        image_records += (
            ImageRecord(number, files.find(name, folders=places, anywhere=True), split)
            for number, name in names.items()
        )
        instances = path.with_name(path.name.replace("captions_", "instances_"))
        if instances.is_file():
            objects |= read_instances(instances).objects
    captions, notes = with_words(captions)
    return Collection(
        source="coco-captions",
        image_root=str(files.root),
        images=image_records,
        captions=captions,
        notes=notes,
        edition=found[0][2],
        objects=objects,
    )


def _names_of_images(document: dict[str, Any], path: Path) -> dict[int, str]:
    """The file names in the document's list of images, by image id. Raises BadData without one."""
    listed = document.get("images")
    if not isinstance(listed, list) or not listed:
        hint = "Take the released file: it lists the images beside their captions."
        raise BadData('has no list "images"', location=path, hint=hint)
    ids, names = columns(listed, {"id": int, "file_name": str}, path=path, name="image")
    unique(ids, path=path, name="image id")
    return dict(zip(ids, names, strict=True))


class Instances(NamedTuple):
    """What COCO's instances tell of the images in their list, by image id."""

    names: dict[int, str]
    """File names."""
    objects: dict[int, tuple[str, ...]]
    """The categories of the annotated objects, in the order of the file, each once."""


def read_instances(path: Path) -> Instances:
    """Read `instances_{train,val}YEAR.json`. Raises BadData for anything else."""
    document = read_json(path, dict, object_hook=_without_outlines)
    records = record_list(document, "annotations", path=path, expected=OBJECTS)
    names = _names_of_images(document, path)
    listed = record_list(document, "categories", path=path, expected=OBJECTS)
    ids, titles = columns(listed, {"id": int, "name": str}, path=path, name="category")
    unique(ids, path=path, name="category id")
    title_of = dict(zip(ids, titles, strict=True))
    found: dict[int, dict[str, None]] = {id_: {} for id_ in names}
    fields = {"image_id": int, "category_id": int}
    for image, category in zip(*columns(records, fields, path=path, name="object"), strict=True):
        if image not in found or category not in title_of:
            message = f"has an object of image {image} and category {category}, not both listed"
            raise BadData(message, location=path, hint="Take the released file.")
        found[image][title_of[category]] = None
    return Instances(names, {id_: tuple(titles) for id_, titles in found.items()})


def _without_outlines(record: dict[str, Any]) -> dict[str, Any]:
    """A record of COCO's instances without the points that nine tenths of it are."""
    record.pop("segmentation", None)
    return record


FILES = r"captions_(?:train|val)(?:2014|2017)\.json"
"""Names of the official files, as a pattern."""
recognise = by_name(FILES)
