"""The same examples with the wrong picture, or with the wrong question.

What a model still reaches then, it reaches without that half of its input. Nobody keeps their own
(a derangement); seeded, within one split.
"""

from typing import Any, cast

import numpy as np
import pyarrow as pa

from saccade.core.errors import BadData
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.features.store import FeatureStore


def derangement(number: int, seed: int = 0) -> np.ndarray:
    """A random order of 0, ..., number - 1 in which none keeps its place: (number,) int64.

    One random ring in which everybody gets what the next one has. Raises BadData for fewer than
    two, who have nobody to exchange with.
    """
    if number < 2:
        raise BadData(
            f"{number} cannot be exchanged for each other", cure="Judge a split with more pictures."
        )
    ring = np.random.default_rng(seed).permutation(number)
    exchanged = np.empty(number, np.int64)
    exchanged[ring] = np.roll(ring, 1)
    return exchanged


class OtherPictures:
    """A feature store that shows another picture than the one asked for."""

    def __init__(self, store: FeatureStore, ids: np.ndarray, seed: int = 0) -> None:
        """Exchange the pictures `ids` for each other; those without features stay without.

        Raises BadData where fewer than two of them have features.
        """
        self.store = store
        self.row = np.arange(len(store))
        rows = store.rows(np.unique(ids))
        rows = rows[store.counts[rows] > 0]
        self.row[rows] = rows[derangement(len(rows), seed)]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Rows of other pictures in the place of these."""
        rows: np.ndarray = self.row[self.store.rows(ids)]
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def with_other_pictures(store: FeatureStore, ids: np.ndarray, seed: int = 0) -> FeatureStore:
    """The store, showing for each of the pictures `ids` another one of them."""
    return cast(FeatureStore, OtherPictures(store, ids, seed))


class OtherQuestions(DataFolder):
    """A data folder in which the questions of one split are asked about each other's pictures.

    Answers, types and pictures stay; only the words change places.
    """

    def __init__(self, folder: DataFolder, split: Split, seed: int = 0) -> None:
        super().__init__(folder.path, image_root=folder.image_root)
        self.split, self.seed = split, seed

    def question_table(self, split: Split) -> pa.Table:
        """The split's questions, each with the words of another."""
        table = super().question_table(split)
        if split != self.split:
            return table
        order = pa.array(derangement(len(table), self.seed))
        place = table.column_names.index("text")
        return table.set_column(place, "text", table.column("text").take(order))
