"""COCO captions in the official layout: `captions_train2017.json`, `captions_val2017.json`.

2014 and 2017 hold the same images, divided differently; 2017's training set has most of 2014's
validation images. Layout: cocodataset.org, "Data format", caption annotations.
"""

from pathlib import Path
from typing import Any

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, SeveralFit, by_name
from saccade.data.reading import columns, read_json, record_list, unique
from saccade.data.records import Caption, Collection, ImageRecord, Split, with_words
from saccade.text.tokenizers import caption_words

PARTS: tuple[Split, ...] = ("train", "val")


def read(root: Path, year: str = "", images: str = "") -> Collection:
    """Read `captions_{train,val}YEAR.json` in `root` or `root/annotations`.

    `year` (2014 or 2017) chooses when both are there; `images` is the folder of the images (else
    `train2017/`, `images/train2017/`, `images/` and `root`). Captions without a word are left out
    and counted. Raises BadData for anything else than captions.
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
    captions, notes = with_words(captions)
    return Collection(
        source="coco-captions",
        image_root=str(files.root),
        images=image_records,
        captions=captions,
        notes=notes,
        edition=found[0][2],
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


FILES = r"captions_(?:train|val)(?:2014|2017)\.json"
"""Names of the official files, as a pattern."""
recognise = by_name(FILES)
