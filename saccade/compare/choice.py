"""Which examples the page shows: chosen by rule from how right they were judged, never by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from saccade.compare.runs import Group

KINDS = ("good", "bad", "disagreed")


def choose(group: Group, count: int) -> dict[str, list[int]]:
    """Rows of good, bad and disagreed-on examples, `count` of each at most, all other pictures.

    A single run agrees with itself: there is no third kind then.
    """
    column = "score" if group.task == "vqa" else "cider"
    scores = np.array([run.rows[column] for run in group.runs], float)  # (runs, examples)
    worst, best = scores.min(axis=0), scores.max(axis=0)
    if group.task == "vqa":
        right = scores > 0
        split = np.flatnonzero(right.any(axis=0) & ~right.all(axis=0))
        halves = np.abs(right[:, split].mean(axis=0) - 0.5)
        agreed = np.flatnonzero(right.all(axis=0))
        ordered = {
            "disagreed": split[np.lexsort((-best[split], halves))],
            "good": agreed[np.argsort(-worst[agreed], kind="stable")],
            "bad": np.flatnonzero(~right.any(axis=0)),
        }
    else:
        ordered = {
            "disagreed": np.argsort(worst - best, kind="stable"),
            "good": np.argsort(-worst, kind="stable"),
            "bad": np.argsort(best, kind="stable"),
        }
    if len(group.runs) == 1:
        del ordered["disagreed"]
    pictures: set[int] = set()
    rows = group.runs[0].rows
    chosen = {kind: _varied(order, rows, count, pictures) for kind, order in ordered.items()}
    return {kind: chosen[kind] for kind in KINDS if kind in chosen}


def _varied(
    order: NDArray[np.int64], rows: Mapping[str, Sequence[object]], count: int, pictures: set[int]
) -> list[int]:
    """The first of an order, each of another picture and, while there are, of another type."""
    types, found = set[object](), list[int]()
    for new_types_alone in (True, False) if "question_type" in rows else (False,):
        for place in order.tolist():
            picture = rows["image_id"][place]
            assert isinstance(picture, int)
            kind = rows["question_type"][place] if new_types_alone else None
            if len(found) < count and picture not in pictures and kind not in types:
                found.append(place)
                pictures.add(picture)
                types |= {kind} if new_types_alone else set()
    return sorted(found, key=order.tolist().index)
