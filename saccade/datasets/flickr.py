"""Captions as the Flickr sets hold them: a token file, or one of the tables made from it later.

A line of a token file is `NAME.jpg#K<tab>caption`. Layouts: Hodosh, Young & Hockenmaier 2013 and
Young et al. 2014 (token files); the tables that Kaggle hands out (`captions.txt`, `results.csv`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saccade.core.errors import BadData
from saccade.data.find_files import ImageFiles, files_like, first_reason, one_file
from saccade.data.reading import RELEASED, read_lines, read_start, read_table
from saccade.data.records import SPLITS, Caption, Collection, ImageRecord, Split, with_words
from saccade.data.splits import Drawing, as_drawing, listed_splits, refuse_unnamed
from saccade.datasets.row_files import first_row
from saccade.text.tokenizers import caption_words

Texts = dict[str, list[str]]
"""Captions of each image's name, in the file's order."""


class Release(NamedTuple):
    """One of the two sets as it was published."""

    source: str
    edition: str
    lists: str
    """Pattern of the names of the files that list the images of a split, {} for the split."""
    words: Sequence[str]
    """The splits' names in that, for train, val and test."""
    folders: Sequence[str]
    """Of the images, below the root."""
    advice: str
    """The way to the published split; ends the note that one was drawn."""
    suffix: str = ""
    """Put behind names in the lists that lack it."""


def token_lines(path: Path) -> Texts:
    """Read a token file. Raises BadData for a line of another form, or one that stands twice."""
    texts: Texts = {}
    seen: set[str] = set()
    for number, line in enumerate(read_lines(path), start=1):
        key, tab, text = line.partition("\t")
        name, hash_sign, place = key.rpartition("#")
        if not line.strip():
            continue
        if not (tab and hash_sign and name and place.isascii() and place.isdigit()):
            message = f"line {number} is not NAME.jpg#K, a tab, and a caption: {line[:50]!a}"
            hint = f"Take the released {path.name}; mind that editors turn tabs to blanks."
            raise BadData(message, location=path, hint=hint)
        if key in seen:
            message = f"line {number} has {key} a second time"
            raise BadData(message, location=path, hint="Keep one line of each.")
        seen.add(key)
        texts.setdefault(name, []).append(text)
    return texts


def comma_table(path: Path) -> Texts:
    """Read a CSV with the columns `image` and `caption`, as Kaggle's copy of Flickr8k."""
    names, rows = read_table(path)
    if names[:2] != ["image", "caption"]:
        message = f"begins with the columns {', '.join(names)[:50]!a}, not with image, caption"
        hint = "For a table of your own, prepare the source table."
        raise BadData(message, location=path, hint=hint)
    texts: Texts = {}
    for _, (name, caption, *_) in rows:
        texts.setdefault(name.strip(), []).append(caption.strip())
    return texts


def bar_table(path: Path) -> Texts:
    """Read `image_name| comment_number| comment`, as Kaggle's copy of Flickr30k.

    One released row has lost its second bar (`2199200615.jpg| 4   A dog runs ...`): a number
    followed by the caption is read as what it was.
    """
    lines = read_lines(path)
    head = "image_name| comment_number| comment"
    if [part.strip() for part in lines[0].split("|")] != head.split("| "):
        message = f"does not begin with {head}, but with {lines[0][:50]!a}"
        raise BadData(message, location=path, hint="Take the file as it was handed out.")
    texts: Texts = {}
    for number, line in enumerate(lines[1:], start=2):
        if match := re.fullmatch(r"([^|]+)\|\s*(\d+)\s*[|\s]\s*(\S.*)", line):
            texts.setdefault(match[1].strip(), []).append(match[3].strip())
        elif line.strip():
            message = f"line {number} is not NAME.jpg| K| caption: {line[:50]!a}"
            raise BadData(message, location=path, hint=RELEASED)
    return texts


def as_collection(
    release: Release, root: Path, path: Path, texts: Texts, drawing: Drawing | None, images: str
) -> Collection:
    """Images of the lists in the order of their names, numbered so, with their captions.

    A list, below `root`, is a file with one image's name a line; where there are none, all images
    are divided by `drawing`, if there is one. `path` is the file of captions; images of no split
    and captions without a word are left out and counted. Raises BadData for an image in two lists
    or without captions, and for two lists of one split.
    """
    lists: list[tuple[Path, Split]] = []
    for word, split in zip(release.words, SPLITS, strict=True):
        found = files_like(root, release.lists.format(word))
        if len(found) > 1:
            message = f"and {found[1]} both list the {split} images"
            raise BadData(message, location=found[0], hint="Move one of them away.")
        lists += ((path, split) for path in found)
    listed = listed_splits(lists, lambda name: name.removesuffix(release.suffix) + release.suffix)
    split_of, notes = listed, list[str]()
    if not listed:
        if drawing is None:
            raise BadData("holds no split lists", location=root, hint=release.advice)
        split_of, drawn = drawing.draw(texts)
        notes = [f"{drawn} Scores do not compare with published ones. {release.advice}"]
    refuse_unnamed(split_of, texts, path)
    files, names = ImageFiles(root, images or None).beside(path), sorted(split_of)
    kept, wordless = with_words(
        Caption(0, number, text, caption_words(text), split_of[name])
        for number, name in enumerate(names)
        for text in texts[name]
    )
    notes += wordless
    if others := len(texts) - len(split_of):
        notes.append(f"{others} images with captions are in no split list and were left out.")
    return Collection(
        source=release.source,
        image_root=str(files.root),
        images=[
            ImageRecord(
                number, files.find(name, folders=release.folders, anywhere=True), split_of[name]
            )
            for number, name in enumerate(names)
        ],
        captions=[caption._replace(id=number) for number, caption in enumerate(kept)],
        notes=notes,
        edition=release.edition if listed else "",
    )


# Flickr8k in the official layout: a token file with five captions an image, three split lists.

FLICKR8K = Release(
    "flickr8k",
    "official",
    lists=r".*{}Images\.txt",
    words=("train", "dev", "test"),
    folders=("images", "Flicker8k_Dataset", "Flickr8k_Dataset", "Images", ""),
    advice="For the official split put Flickr_8k.trainImages.txt, dev and test below --root.",
)
TOKENS = r"(?!.*[Ll]emma).*token\.txt"
TABLE = r"captions\.txt"


def read_flickr8k(root: Path, captions: str = "", images: str = "", **shares: Any) -> Collection:
    """Read the token file and the split lists in `root` or a folder directly below it.

    `captions` names the token file (else the one ending in `token.txt`) or Kaggle's table (else
    `captions.txt`); `images` is the folder of the images (else `images/`, `Flicker8k_Dataset/`
    and `root`). With the table and without lists, `val_share` and `test_share` of the images are
    drawn with `seed`. An image's number is its place in the sorted list of all split images.
    Raises BadData for lines of another form, and for an image in two lists or without captions.
    """
    drawing = as_drawing(**shares)
    table = not files_like(root, TOKENS) and bool(files_like(root, TABLE))
    path = one_file(root, captions, TABLE if table else TOKENS, "captions", "Flickr8k.token.txt")
    if path.name.endswith("captions.txt"):
        return as_collection(FLICKR8K, root, path, comma_table(path), drawing, images)
    return as_collection(FLICKR8K, root, path, token_lines(path), None, images)


def recognise_flickr8k(root: Path) -> str | None:
    """A token file beside Flickr8k's lists, or Kaggle's table beside its images."""
    if files_like(root, r".*trainImages\.txt") and files_like(root, TOKENS):
        return f"{first_reason(root, TOKENS)} and lists such as Flickr_8k.trainImages.txt"
    tables = files_like(root, TABLE)
    heads = [path for path in tables if list(first_row(path))[:2] == ["image", "caption"]]
    return f"there is {heads[0].relative_to(root).as_posix()} (image,caption)" if heads else None


# Flickr30k: the released token file, or Kaggle's table `results.csv`; five captions an image.

FLICKR30K = Release(
    "flickr30k",
    "entities",
    lists=r"(?:flickr30k_)?{}\.txt",
    words=SPLITS,
    folders=("images", "flickr30k_images", "flickr30k-images", ""),
    advice="For these, prepare Karpathy's dataset_flickr30k.json with the source karpathy.",
    suffix=".jpg",
)
AS_KARPATHY = {"val_share": 0.0319, "test_share": 0.03146}
"""Of all 31,783 images, as many as Karpathy's 1,014 and 1,000."""
FILE = r"results(?:_20130124\.token|\.csv)"


def read_flickr30k(root: Path, captions: str = "", images: str = "", **shares: Any) -> Collection:
    """Read `results_20130124.token` or `results.csv` in `root` or a folder directly below it.

    `captions` names another such file (one ending in `.csv` is read as Kaggle's table); `images`
    is the folder of the images. Lists of names (`train.txt` or `flickr30k_train.txt`, with or
    without `.jpg`) are the split; where there are none, `val_share` and `test_share` of the
    images are drawn with `seed`, by default `AS_KARPATHY`. An image's number is its place in the
    sorted list. Raises BadData for lines of another form.
    """
    drawing = as_drawing(**{**AS_KARPATHY, **shares})
    path = one_file(root, captions, FILE, "captions", "results_20130124.token")
    texts = bar_table(path) if path.suffix == ".csv" else token_lines(path)
    return as_collection(FLICKR30K, root, path, texts, drawing, images)


def recognise_flickr30k(root: Path) -> str | None:
    """The released token file, or a table with bars."""
    if reason := first_reason(root, r"results_20130124\.token"):
        return reason
    for path in files_like(root, r"results\.csv"):
        if read_start(path, 100).startswith("image_name|"):
            return f"there is {path.relative_to(root).as_posix()} (image_name| ...)"
    return None
