"""Findings about a feature store: its numbers, and whether they have to do with the labels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from saccade.checks.association import association_z, separation
from saccade.checks.catalogue import evenly, finding
from saccade.checks.labels import association_labels
from saccade.core.tasks import TaskName
from saccade.data.checks import Finding
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord
from saccade.features.statistics import FILE, POOLED, image_statistics
from saccade.features.store import FeatureStore

READ = 2**27
"""Bytes of features that are read in any case, evenly spaced over the images."""
SAMPLE = 2000
"""Images that are read where a store keeps no statistics, and in the test of association."""
TOGETHER = 32
NEIGHBOURS = 20, 60
"""Training images, by their distance, from which that of the nearest can be expected. An image has
fewer copies than that."""
LEAST = 300
"""Training images that the test of association needs."""


class StoreContent(NamedTuple):
    """What is known of the images of a store."""

    store: FeatureStore
    images: list[ImageRecord]
    """Those that the statistics are of, in the order of the store."""
    table: np.ndarray
    """`(n,)` of `statistics.IMAGE`."""
    changed: list[ImageRecord]
    """Images whose features are not what was written."""
    complete: bool
    """Whether the statistics were kept with the store, for all images."""

    def of_split(self, *splits: str) -> np.ndarray:
        """Places of the images of some splits that have features."""
        there = [one.split in splits for one in self.images]
        return np.flatnonzero(there)


def read_content(folder: DataFolder, store: FeatureStore) -> StoreContent:
    """The statistics of all images of a store that have features; of some they are made again."""
    record_of = {image.id: image for image in folder.images()}
    rows = np.flatnonzero(store.counts[: len(store)] > 0)
    kept = store.statistics
    most = max(READ // max(store.features[:1].nbytes, 1), 100) if kept is not None else SAMPLE
    places = evenly(len(rows), most)
    made = _statistics_now(store, rows[places])
    if kept is None:
        rows, table, changed = rows[places], made, np.zeros(0, np.int64)
    else:
        table = np.array(kept[rows])
        changed = rows[places][table["row"][places] != made["row"]]
        files = table["file"].copy()
        table[places] = made
        table["file"] = files
    images = [record_of[id_] for id_ in store.ids[rows].tolist()]
    others = [record_of[id_] for id_ in store.ids[changed].tolist()]
    return StoreContent(store, images, table, others, kept is not None)


def _statistics_now(store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    parts = [
        image_statistics(store.copy(some), store.counts[some], store.header.grid,
                         np.zeros(len(some), FILE))
        for some in np.array_split(rows, max(-(-len(rows) // TOGETHER), 1))
    ]  # fmt: skip
    return np.concatenate(parts)


def check_store(content: StoreContent) -> Iterator[Finding]:
    """Findings about the features alone."""
    store, table = content.store, content.table
    count, there = len(store), int((store.counts[: len(store)] > 0).sum())
    if lost := count - there:
        message = f"{lost:,} of {count:,} images have no features"
        name = "most-images-left-out" if lost > 0.5 * count else "images-left-out"
        some = [f"{one.file}: {one.reason}" for one in store.skipped()[:3]]
        if lost > 0.02 * count:
            yield finding(name, message, count=lost, numbers={"share": lost / count},
                          examples=some)  # fmt: skip
    if not there:
        return
    if not content.complete:
        message = f"{len(table):,} of {count:,} images were read for these findings"
        yield finding("no-statistics", message, count=len(table))
    if content.changed:
        message = f"features of {len(content.changed):,} images are not those that were written"
        some = [one.file for one in content.changed[:3]]
        yield finding("features-changed", message, count=len(content.changed), examples=some)
    if store.header.backbone.weights == "random":
        message = f"the network {store.header.backbone.name} was never trained"
        yield finding("untrained-backbone", message)
    yield from _about_numbers(content)


def _about_numbers(content: StoreContent) -> Iterator[Finding]:
    table, pixels = content.table, content.store.header.dtype == "uint8"
    largest, spread = table["largest"], table["spread"]
    single = content.store.header.regions * content.store.header.dim == 1
    wrong = {
        "nan-features": (np.isnan(largest), "are no numbers"),
        "infinite-features": (np.isinf(largest), "are infinite"),
    }
    if not pixels and not single:
        wrong["zero-features"] = largest == 0, "are 0 throughout"
        wrong["constant-features"] = (spread == 0) & (largest > 0), "are one number throughout"
    for name, (found, what_is_wrong) in wrong.items():
        if count := int(found.sum()):
            some = [content.images[place] for place in np.flatnonzero(found)[:3]]
            splits = Counter(content.images[place].split for place in np.flatnonzero(found))
            message = f"features of {count:,} images {what_is_wrong}"
            message += f" ({', '.join(f'{split}: {n:,}' for split, n in splits.items())})"
            yield finding(name, message, count=count,
                          examples=[f"image {one.id} ({one.file})" for one in some])  # fmt: skip
    if (times := most_alike(table["row"])) and not pixels:
        message = f"{times:,} of {len(table):,} images have the very same features"
        yield finding("repeated-features", message, count=times,
                      numbers={"share": times / len(table)})  # fmt: skip
    elif (share := relative_spread(table["pooled"])) < 1e-3 and len(table) > 2:
        message = f"features differ by {share:.2%} of their size from image to image"
        yield finding("no-spread", message, numbers={"spread": share})


def most_alike(values: np.ndarray) -> int:
    """How often the commonest of some values occurs; 0 where that is 5 % or less, or twice."""
    times = int(np.unique(values, return_counts=True)[1].max(initial=0))
    return times if times > max(0.05 * len(values), 2) else 0


def relative_spread(pooled: np.ndarray) -> float:
    """Standard deviation over images, against the size of the numbers."""
    finite = pooled[np.isfinite(pooled).all(axis=1)].astype(np.float64)
    if not len(finite):
        return 1.0
    size = float(np.sqrt((finite**2).mean()))
    return float(np.sqrt(finite.var(axis=0).mean())) / max(size, 1e-30)


def check_association(
    content: StoreContent, folder: DataFolder, task: TaskName
) -> Iterator[Finding]:
    """Whether features have to do with the answers or captions of their images.

    The power of the test is that of the labels themselves: whether one half of what is told of an
    image predicts the other half.
    """
    pooled = content.table["pooled"]
    places = [p for p in content.of_split("train") if np.isfinite(pooled[p]).all()]
    places = [places[place] for place in evenly(len(places), SAMPLE)]
    ids = [content.images[place].id for place in places]
    if len(ids) < LEAST or relative_spread(pooled[places]) < 1e-3:
        return
    one, other = association_labels(folder, task, ids)
    z, power = association_z(pooled[places], one + other), _power(one, other)
    if z < 3:
        numbers = {"z": z, "power": power, "images": len(ids)}
        message = f"features of {len(ids):,} training images do not tell their labels apart: "
        message += f"z {z:.1f}, where the labels predict each other with z {power:.1f}"
        yield finding("features-unrelated" if power >= 3 else "features-unclear", message,
                      numbers=numbers)  # fmt: skip


def _power(one: np.ndarray, other: np.ndarray) -> float:
    both = one.any(axis=1) & other.any(axis=1)
    return association_z(one[both], other[both]) if both.sum() >= 50 else 0.0


def copies(content: StoreContent) -> Iterator[Finding]:
    """Images of validation and test that are, or nearly are, images of an other split."""
    sums = [one.tobytes() for one in content.table["file"]["sha256"]]
    known = content.table["file"]["bytes"] > 0
    splits_of: dict[bytes, set[str]] = {}
    for image, digest, there in zip(content.images, sums, known, strict=True):
        if there:
            splits_of.setdefault(digest, set()).add(image.split)
    held_out = content.of_split("val", "test")
    same = [p for p in held_out if known[p] and len(splits_of[sums[p]]) > 1]
    if same:
        message = f"{len(same):,} of {len(held_out):,} validation and test images are copies"
        yield finding("copied-images", f"{message} of images of another split", count=len(same),
                      numbers={"share": len(same) / len(held_out)},
                      examples=_files(content, same))  # fmt: skip
    train, rest = content.of_split("train"), np.setdiff1d(held_out, same)
    rest = rest[evenly(len(rest), SAMPLE)]
    nearest, expected = _distances(content.table["pooled"], train, rest)
    # To a network that was never trained different images are alike, too.
    alike = (nearest < 0.001) & (content.store.header.backbone.weights != "random")
    outstanding = nearest < 0.5 * expected
    near = rest[alike | outstanding]
    if alike.sum() > 0.01 * len(rest) or outstanding.sum() > 0.1 * len(rest):
        message = f"{len(near):,} of {len(rest):,} validation and test images are near copies"
        yield finding("near-copied-images", f"{message} of training images", count=len(near),
                      numbers={"share": len(near) / len(rest)},
                      examples=_files(content, near.tolist()))  # fmt: skip


def check_shift(content: StoreContent) -> Iterator[Finding]:
    """Whether a linear classifier tells images of the training split from the other images."""
    pooled = content.table["pooled"].astype(np.float64)
    parts = [content.of_split("train"), content.of_split("val", "test")]
    parts = [part[np.isfinite(pooled[part]).all(axis=1)] for part in parts]
    parts = [part[evenly(len(part), SAMPLE)] for part in parts]
    if min(map(len, parts)) < POOLED:
        return
    area = separation(*(pooled[part] for part in parts))
    if area > 0.95:
        message = "the features tell training images from validation and test images: a linear "
        message += f"classifier has an area under the ROC curve of {area:.2f}, chance 0.5"
        yield finding("splits-look-different", message, numbers={"area": area})


def _files(content: StoreContent, places: Sequence[int]) -> list[str]:
    return [f"{content.images[p].file} ({content.images[p].split})" for p in places[:3]]


def _distances(
    pooled: np.ndarray, train: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far each of the `rest` is from its nearest training image, and how far that should be.

    Distances are 1 less the cosine of what is left without the mean image. Those to the k-th
    nearest of many points grow like a power of k, which depends on how many numbers the features
    vary in; it follows from the 20th and the 60th.
    """
    pooled = pooled.astype(np.float64)  # squares of the largest float32 are none of its numbers
    finite = pooled[train][np.isfinite(pooled[train]).all(axis=1)]
    if not len(finite) or not len(rest) or relative_spread(finite) < 1e-3:
        return np.ones(len(rest)), np.zeros(len(rest))
    mean = finite.mean(axis=0)

    def direction(rows: np.ndarray) -> np.ndarray:
        centred = np.nan_to_num(rows - mean, posinf=0, neginf=0)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        scaled: np.ndarray = (centred / np.maximum(length, 1e-12)).astype(np.float32)
        return scaled

    known, wanted = direction(finite), direction(pooled[rest])
    parts = np.array_split(wanted, max(-(-len(wanted) // 256), 1))
    # With few images the nearest stands for the others: it is as far as expected.
    places = [0, *(k - 1 if len(known) > NEIGHBOURS[1] else 0 for k in NEIGHBOURS)]
    some = [np.partition(1 - part @ known.T, places, axis=1)[:, places] for part in parts]
    nearest, near, far = np.maximum(np.concatenate(some), 1e-12).T
    steps = np.log(NEIGHBOURS[0]) / np.log(NEIGHBOURS[1] / NEIGHBOURS[0])
    return nearest, near * (near / far) ** steps
