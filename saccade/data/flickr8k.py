"""Flickr8k in the official layout: a token file with five captions a picture, three split lists.

92 of the token file's 8,092 names stand in no split list (one of them is no picture at all: it ends
in `.jpg.1`); they are left out and counted. Kaggle's copy, `captions.txt`, has the same captions
without the lists. Source: Hodosh, Young & Hockenmaier 2013, release "Flickr8k_text".
"""

from pathlib import Path

from saccade.core.errors import BadData
from saccade.data.find_files import PictureFiles, files_like, first_reason, one_file
from saccade.data.records import Collection, Split
from saccade.data.row_files import first_row
from saccade.data.splits import as_drawing
from saccade.data.token_file import (
    Unlisted,
    as_collection,
    comma_table,
    split_lists,
    token_lines,
)

LISTS: dict[str, Split] = {
    r".*trainImages\.txt": "train",
    r".*devImages\.txt": "val",
    r".*testImages\.txt": "test",
}
FOLDERS = ("images", "Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "")
TOKENS = r"(?!.*[Ll]emma).*token\.txt"
TABLE = r"captions\.txt"


def read(
    root: Path,
    captions: str = "",
    images: str = "",
    val_share: str | float = 0.1,
    test_share: str | float = 0.1,
    seed: str | int = 0,
) -> Collection:
    """Read the token file and the split lists in `root` or a folder directly below it.

    `captions` names the token file (else the one ending in `token.txt`) or Kaggle's table (else
    `captions.txt`); `images` is the folder of the pictures (else `images/`, `Flicker8k_Dataset/`
    and `root` are looked through). With the table and without lists, `val_share` and `test_share`
    of the pictures are drawn with `seed`. A picture's number is its place in the sorted list of
    all split pictures. Raises BadData for lines of another form, and for a picture in two lists or
    without captions.
    """
    advice = (
        "put the lists of Flickr8k_text (Flickr_8k.trainImages.txt ...) beside it for the "
        "official split."
    )
    unlisted = Unlisted(as_drawing(val_share, test_share, seed), advice)
    table = not files_like(root, TOKENS) and bool(files_like(root, TABLE))
    path = one_file(root, captions, TABLE if table else TOKENS, "captions", "Flickr8k.token.txt")
    table = path.name.endswith("captions.txt")
    texts = comma_table(path) if table else token_lines(path)
    listed = split_lists(root, LISTS)
    if not listed and not table:
        cure = "Put Flickr_8k.trainImages.txt, .devImages.txt and .testImages.txt below --root."
        raise BadData("holds no split lists", where=root, cure=cure)
    return as_collection(
        texts, listed, unlisted, source="flickr8k", path=path,
        files=PictureFiles(root, images or None), folders=FOLDERS, edition="official",
    )  # fmt: skip


def recognise(root: Path) -> str | None:
    """A token file beside Flickr8k's lists, or Kaggle's table beside its pictures."""
    if files_like(root, r".*trainImages\.txt") and files_like(root, TOKENS):
        return f"{first_reason(root, TOKENS)} and lists such as Flickr_8k.trainImages.txt"
    tables = files_like(root, TABLE)
    heads = [path for path in tables if list(first_row(path))[:2] == ["image", "caption"]]
    return f"there is {heads[0].relative_to(root).as_posix()} (image,caption)" if heads else None
