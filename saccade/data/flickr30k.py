"""Flickr30k: the released token file, or Kaggle's table `results.csv`; five captions a picture.

The release has no splits. Published work uses Karpathy's (source karpathy) or those of Flickr30k
Entities (`train.txt`, `val.txt`, `test.txt`). Source: Young, Lai, Hodosh & Hockenmaier 2014.
"""

from pathlib import Path

from saccade.data.find_files import PictureFiles, files_like, first_reason, one_file
from saccade.data.reading import read_start
from saccade.data.records import Collection, Split
from saccade.data.splits import as_drawing
from saccade.data.token_file import Unlisted, as_collection, bar_table, split_lists, token_lines

LISTS: dict[str, Split] = {
    r"(?:flickr30k_)?train\.txt": "train",
    r"(?:flickr30k_)?val\.txt": "val",
    r"(?:flickr30k_)?test\.txt": "test",
}
FOLDERS = (
    "images",
    "flickr30k_images",
    "flickr30k-images",
    "flickr30k_images/flickr30k_images",
    "",
)
FILE = r"results(?:_20130124\.token|\.csv)"


def read(
    root: Path,
    captions: str = "",
    images: str = "",
    val_share: str | float = 0.0319,
    test_share: str | float = 0.03146,
    seed: str | int = 0,
) -> Collection:
    """Read `results_20130124.token` or `results.csv` in `root` or a folder directly below it.

    `captions` names another such file (one ending in `.csv` is read as Kaggle's table); `images`
    is the folder of the pictures. Lists of names (`train.txt` or `flickr30k_train.txt`, with or
    without `.jpg`) are the split; where there are none, `val_share` and `test_share` of the
    pictures are drawn with `seed`, by default, of all 31,783, as many as Karpathy's 1,014 and
    1,000. A picture's number is its place in the sorted list. Raises BadData for lines of another
    form.
    """
    advice = "for these, prepare Karpathy's dataset_flickr30k.json with the source karpathy."
    unlisted = Unlisted(as_drawing(val_share, test_share, seed), advice)
    path = one_file(root, captions, FILE, "captions", "results_20130124.token")
    texts = bar_table(path) if path.suffix == ".csv" else token_lines(path)
    listed = split_lists(root, LISTS, suffix=".jpg")
    return as_collection(
        texts, listed, unlisted, source="flickr30k", path=path,
        files=PictureFiles(root, images or None), folders=FOLDERS, edition="entities",
    )  # fmt: skip


def recognise(root: Path) -> str | None:
    """The released token file, or a table with bars."""
    if reason := first_reason(root, r"results_20130124\.token"):
        return reason
    for path in files_like(root, r"results\.csv"):
        if read_start(path, 100).startswith("image_name|"):
            return f"there is {path.relative_to(root).as_posix()} (image_name| ...)"
    return None
