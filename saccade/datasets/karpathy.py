"""Karpathy's caption files: `dataset_coco.json`, `dataset_flickr8k.json`, `dataset_flickr30k.json`.

One JSON with images, their sentences (tokenised already) and their split. `restval`, the part of
COCO's validation set that is neither validated nor tested on, joins the training split, as in all
published work (113,287 training images). Layout: Karpathy & Fei-Fei 2015, released splits.
"""

from itertools import chain
from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, files_like, holds_texts, several_files
from saccade.data.reading import columns, is_text, read_json, record_list, unique
from saccade.data.records import Caption, Collection, ImageRecord, Split, with_words

SPLIT_OF: dict[str, Split] = {"train": "train", "restval": "train", "val": "val", "test": "test"}
FOLDERS = (
    "images",
    "",
    "Images",
    "Flicker8k_Dataset",  # the spelling of the release
    "Flickr8k_Dataset",
    "flickr30k_images",
    "flickr30k-images",
)
NAME = r"dataset_(?!dict\.|infos?\.|v7w_)[\w.-]+\.json"
"""Of the released files; the names left out are Visual7W's and those that Hugging Face's `datasets`
writes."""
JSON = r".*\.(?i:json)"
HINT = "Take the released dataset_*.json, or mend this record."


def read(root: Path, file: str = "", images: str = "") -> Collection:
    """Read the `dataset_*.json` in `root` or a folder directly below it.

    `file` names it when there are several; `images` is the folder of the images (else
    `images/`, `root` and the folders of the releases, beside the file first). An image's number is
    its `cocoid` where it has one, else its `imgid`. Captions without a word are left out and
    counted. Raises BadData for anything that is not in this layout.
    """
    found = [root / file] if file else _found(root)
    if len(found) > 1:
        raise several_files("files like dataset_*.json of Karpathy's splits", root, found, "file")
    if not found:
        hint = "Check --root, or name the file: --option file=FILE."
        raise BadData("holds no dataset_*.json of Karpathy's splits", location=root, hint=hint)
    (path,) = found
    document = read_json(path, dict)
    records = record_list(document, "images", path=path, expected="Karpathy captions")
    fields = {"imgid": int, "split": str, "filename": str, "sentences": list}
    numbers, splits, names, sentences = columns(records, fields, path=path, name="image")
    unique(numbers, path=path, name="imgid")
    if any("cocoid" in record for record in records):
        (numbers,) = columns(records, {"cocoid": int}, path=path, name="image")
        unique(numbers, path=path, name="cocoid")
    files = ImageFiles(root, images or None).beside(path)
    image_records = []
    for number, split, name, record in zip(numbers, splits, names, records, strict=True):
        if split not in SPLIT_OF:
            message = f"image {number} ({name}) is of split {split!r}"
            raise BadData(message, location=path, hint=f"Known are: {', '.join(SPLIT_OF)}.")
        folder = str(record.get("filepath") or "")
        folders = (folder, f"images/{folder}", *FOLDERS) if folder else FOLDERS
        image_records.append(
            ImageRecord(number, files.find(name, folders=folders, anywhere=True), SPLIT_OF[split])
        )
    if bare := next((p for p, own in zip(image_records, sentences, strict=True) if not own), None):
        raise BadData(f"image {bare.id} ({bare.file}) has no sentences", location=path, hint=HINT)
    owners = [p for p, own in zip(image_records, sentences, strict=True) for _ in own]
    spoken = {"sentid": int, "raw": str, "tokens": list}
    flat = list(chain.from_iterable(sentences))
    ids, texts, tokens = columns(flat, spoken, path=path, name="sentence")
    unique(ids, path=path, name="sentid")
    captions = []
    for number, image, text, words in zip(ids, owners, texts, tokens, strict=True):
        if not is_text(words):
            message = f"the tokens of sentence {number} are not all text: {ascii(words)[:60]}"
            raise BadData(message, location=path, hint=HINT)
        captions.append(Caption(number, image.id, text, tuple(words), image.split))
    captions, notes = with_words(captions)
    return Collection(
        source="karpathy",
        image_root=str(files.root),
        images=image_records,
        captions=captions,
        licence=str(document.get("license", Collection.licence)),
        notes=notes,
        edition=str(document.get("dataset", "")),
    )


def recognise(root: Path) -> str | None:
    """A file of such fields, whatever its name: some archives hold `dataset.json`."""
    found = _found(root)
    return f"there is {found[0].relative_to(root).as_posix()}" if found else None


def _found(root: Path) -> list[Path]:
    """Files of the released names, else of these fields."""
    named = files_like(root, NAME)
    signs = ('"images"', '"sentences"', '"imgid"')
    return named or [path for path in files_like(root, JSON) if holds_texts(path, *signs)]
