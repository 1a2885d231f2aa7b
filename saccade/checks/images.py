"""Findings about image files and their pixels, from the statistics of a feature store."""

from collections.abc import Iterator

import numpy as np

from saccade.checks.catalogue import finding
from saccade.checks.features import StoreContent, most_alike
from saccade.data.checks import Finding
from saccade.data.folder import DataFolder
from saccade.features.settings import wrong_scale
from saccade.features.statistics import replaced_files

FILES = 1000
"""Files of another date that are read and compared."""


def check_images(content: StoreContent, folder: DataFolder) -> Iterator[Finding]:
    """Findings about the images that a store was made of."""
    settings, files = content.store.header.preprocessing, content.table["file"]
    if problem := wrong_scale(settings.mean, settings.std):
        yield finding("preprocessing-range", problem)
    if not content.complete:
        return
    replaced = replaced_files(folder.image_root, content.images, files, FILES)
    if count := len(replaced.files):
        message = f"{count:,} image files were replaced since the features were extracted"
        numbers = {"read": replaced.tried, "of another date": replaced.candidates}
        yield finding("images-replaced", message, count=count, numbers=numbers,
                      examples=replaced.files)  # fmt: skip
    known = files["sha256"][files["bytes"] > 0]
    if times := most_alike(known.copy().view("S32")[:, 0] if len(known) else known):
        message = f"{times:,} of {len(known):,} image files have the very same bytes"
        yield finding("one-placeholder", message, count=times,
                      numbers={"share": times / len(known)})  # fmt: skip
    if files["decoded"].any():
        yield from _about_pixels(content, files)


def _about_pixels(content: StoreContent, files: np.ndarray) -> Iterator[Finding]:
    decoded, mean = files["decoded"], files["colour"].mean(axis=1)
    total = int(decoded.sum())
    for name, found, message in (
        ("normalised-images", files["brightest"] <= 2, "have no value above 2 of 255"),
        ("black-images", mean < 5, "are black"),
        ("white-images", mean > 250, "are white"),
    ):
        if (count := int((decoded & found).sum())) > 0.5 * total:
            some = [content.images[p].file for p in np.flatnonzero(decoded & found)[:3]]
            yield finding(name, f"{count:,} of {total:,} images {message}", count=count,
                          numbers={"share": count / total, "mean": float(mean[decoded].mean())},
                          examples=some)  # fmt: skip
            return
    red, _, blue = (float(one) for one in files["colour"][decoded].mean(axis=0))
    if blue - red > 10:
        message = f"blue is brighter than red: {blue:.0f} and {red:.0f} of 255"
        yield finding("exchanged-channels", message, numbers={"red": red, "blue": blue})
