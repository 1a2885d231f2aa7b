"""Flickr8k in the official layout: a token file with five captions a picture, three split lists.

A line of the token file is `NAME.jpg#K<tab>caption`. 92 of its 8,092 names stand in no split list
(one of them is no picture at all: it ends in `.jpg.1`); they are left out and counted. Source:
Hodosh, Young & Hockenmaier 2013, release "Flickr8k_text".
"""

from collections.abc import Mapping
from pathlib import Path

from saccade.data.picture_files import PictureFiles
from saccade.errors import BadConfig, BadData
from saccade.records import Caption, Collection, Picture, Split
from saccade.text import caption_words

LISTS: dict[str, Split] = {"trainImages": "train", "devImages": "val", "testImages": "test"}
FOLDERS = ("images", "Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "")


def read(root: Path, captions: str = "", images: str = "") -> Collection:
    """Read the token file and the split lists in `root` or a folder directly below it.

    `captions` names the token file (else the one ending in `token.txt`); `images` is the folder
    of the pictures (else `images/`, `Flicker8k_Dataset/` and `root` are looked through). A
    picture's number is its place in the sorted list of all split pictures. Raises BadData for
    lines of another form, and for a picture in two lists or without captions.
    """
    path = root / captions if captions else _token_file(root)
    texts = _token_lines(path)
    split_of = _splits(root)
    files = PictureFiles(root, images or None)
    bare = [name for name in split_of if name not in texts]
    if bare:
        raise BadData(
            f"has no caption for {len(bare)} pictures of the split lists, the first is {bare[0]}",
            where=path,
            cure="Take token file and lists from the same release.",
        )
    pictures: list[Picture] = []
    found: list[Caption] = []
    wordless = 0
    for number, name in enumerate(sorted(split_of)):
        pictures.append(Picture(number, files.find(FOLDERS, [name]), split_of[name]))
        for text in texts[name]:
            if words := caption_words(text):
                found.append(Caption(len(found), number, text, words, split_of[name]))
            else:
                wordless += 1
    notes = [f"{wordless} captions have no word and were left out."] if wordless else []
    if unlisted := len(texts) - len(split_of):
        notes.append(f"{unlisted} pictures with captions are in no split list and were left out.")
    return Collection("flickr8k", str(files.root), pictures, captions=found, notes=notes)


def _token_file(root: Path) -> Path:
    found = sorted(root.glob("*token.txt")) + sorted(root.glob("*/*token.txt"))
    found = [path for path in found if "lemma" not in path.name.lower()]
    if not found and (root / "captions.txt").is_file():
        raise BadData(
            "is a later copy of Flickr8k as a table, without the official splits",
            where=root / "captions.txt",
            cure="Get Flickr8k_text (Flickr8k.token.txt and the split lists), or use Karpathy's "
            "dataset_flickr8k.json with the source karpathy.",
        )
    if not found:
        cure = "Check --root, or name the file: captions=FILE."
        raise BadData("holds no Flickr8k.token.txt", where=root, cure=cure)
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        what = f"holds several token files: {names}"
        raise BadConfig(what, where=root, cure="Say which: captions=FILE.")
    return found[0]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise BadData(what, where=path, cure="Check the name and --root.") from None
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text: byte {error.start} does not fit"
        raise BadData(what, where=path, cure="Save it as UTF-8.") from None
    if not text.strip():
        raise BadData("is empty", where=path, cure="Copy it again from the release.")
    return [line.rstrip("\r") for line in text.split("\n")]


def _token_lines(path: Path) -> dict[str, list[str]]:
    """Captions of each name in the token file's order."""
    texts: dict[str, list[str]] = {}
    seen: set[str] = set()
    for number, line in enumerate(_lines(path), start=1):
        key, tab, text = line.partition("\t")
        name, hash_sign, place = key.rpartition("#")
        if not line.strip():
            continue
        if not (tab and hash_sign and name and place.isascii() and place.isdigit()):
            raise BadData(
                f"line {number} is not NAME.jpg#K, a tab, and a caption: {line[:50]!a}",
                where=path,
                cure="Take the released Flickr8k.token.txt; mind that editors turn tabs to blanks.",
            )
        if key in seen:
            what = f"line {number} has {key} a second time"
            raise BadData(what, where=path, cure="Keep one line of each.")
        seen.add(key)
        texts.setdefault(name, []).append(text)
    return texts


def _splits(root: Path) -> Mapping[str, Split]:
    split_of: dict[str, Split] = {}
    for stem, split in LISTS.items():
        found = sorted(root.glob(f"*{stem}.txt")) + sorted(root.glob(f"*/*{stem}.txt"))
        if len(found) > 1:
            what = f"and {found[1]} both list the {split} pictures"
            raise BadData(what, where=found[0], cure="Move one of them away.")
        for name in (line.strip() for path in found for line in _lines(path)):
            if name and split_of.setdefault(name, split) != split:
                raise BadData(
                    f"{name} is also in the list of the {split_of[name]} pictures",
                    where=found[0],
                    cure="A picture belongs to one split: take the released lists.",
                )
    if not split_of:
        cure = "Put Flickr_8k.trainImages.txt, .devImages.txt and .testImages.txt below --root."
        raise BadData("holds no split lists", where=root, cure=cure)
    return split_of
