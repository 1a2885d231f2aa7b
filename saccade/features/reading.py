"""Reading pictures in batches, in this process or in others, ready for a backbone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saccade.core.errors import BadImage
from saccade.data.records import Picture
from saccade.features.images import read_image
from saccade.features.settings import Preprocessing
from saccade.features.store_files import Skipped


class ReadBatch(NamedTuple):
    """Some pictures that follow each other: pixels of the readable ones, facts about all."""

    pixels: Tensor  # (readable, 3, height, width) uint8
    readable: np.ndarray  # (n,) bool
    sizes: np.ndarray  # (n, 2) int32 width, height of the original; 0 for unreadable ones
    skipped: list[Skipped]


class PictureBatches(Dataset[ReadBatch]):
    """Pictures decoded, resized and cut, a batch an item. One that cannot be read is a fact about
    the batch, no error: it must not stop the others.
    """

    def __init__(
        self, root: Path, pictures: Sequence[Picture], preprocessing: Preprocessing, size: int
    ) -> None:
        self.root, self.pictures = root, pictures
        self.preprocessing, self.size = preprocessing, size

    def __len__(self) -> int:
        return (len(self.pictures) + self.size - 1) // self.size

    def __getitem__(self, number: int) -> ReadBatch:
        pictures = self.pictures[number * self.size : (number + 1) * self.size]
        pixels: list[Tensor] = []
        readable = np.zeros(len(pictures), bool)
        sizes = np.zeros((len(pictures), 2), np.int32)
        skipped: list[Skipped] = []
        for place, picture in enumerate(pictures):
            try:
                image = read_image(self.root / picture.file)
            except BadImage as error:
                skipped.append(Skipped(picture.id, picture.file, error.what))
                continue
            pixels.append(self.preprocessing.pixels(image))
            readable[place] = True
            sizes[place] = image.shape[2], image.shape[1]
        empty = (0, 3, self.preprocessing.height, self.preprocessing.width)
        stacked = torch.stack(pixels) if pixels else torch.empty(empty, dtype=torch.uint8)
        return ReadBatch(stacked, readable, sizes, skipped)

    def loader(self, workers: int, *, pin: bool = False) -> "DataLoader[ReadBatch]":
        """Hand out the batches in order; `workers` processes read ahead, 0 reads in this one."""
        return DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            generator=torch.Generator(),  # leaves the global one alone
        )


def _as_it_is(read: Any) -> Any:
    return read
