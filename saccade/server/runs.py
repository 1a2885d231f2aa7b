"""Runs that a server shows: their facts, and their work on the images of several requests."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.core.run_files import faithfulness_sentence, read_scores
from saccade.core.tensors import kept_epoch
from saccade.features.images import decode_image
from saccade.features.preprocessing import resize_and_crop
from saccade.inference.predictor import EncodedImage, Run
from saccade.metrics.catalogue import METRICS
from saccade.run_folder import training_findings


class Pixels(NamedTuple):
    """An image that is decoded, resized and cropped, with the size that its file has."""

    pixels: Tensor  # (3, h, w) uint8
    width: int
    height: int


class Asked(NamedTuple):
    """A question about an encoded image."""

    image: EncodedImage
    question: str
    top: int


class ServedRun:
    """A run under the name that clients give, with functions that work on batches."""

    def __init__(self, name: str, run: Run, batch_size: int) -> None:
        self.name, self.run, self.batch_size = name, run, batch_size
        self.task = run.task

    def prepare(self, data: bytes) -> Pixels:
        """Decode, resize and crop an image file. Raises BadImage."""
        preprocessing = self.run.opened.header.store.preprocessing
        pixels = decode_image(data, "image", preprocessing.window)
        resized = resize_and_crop(pixels, preprocessing)
        return Pixels(resized, pixels.shape[2], pixels.shape[1])

    def encode(self, images: Sequence[Pixels]) -> list[EncodedImage]:
        """Regions of images, in one batch."""
        pixels = torch.stack([image.pixels for image in images])
        sizes = np.array([(image.width, image.height) for image in images])
        regions, mask, boxes = self.run.encode_pixels(pixels, sizes)
        found = []
        for row, count in enumerate(mask.sum(dim=1).tolist()):
            # Copies: a view would keep the whole batch in memory.
            own = regions[row : row + 1, :count].clone(), mask[row : row + 1, :count].clone()
            found.append(EncodedImage(*own, boxes[row, :count].copy()))
        return found

    def answer(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        """Answers to questions, in one batch."""
        images, questions, tops = zip(*asked, strict=True)
        answers = self.run.answers(images, questions, max(tops))
        return [
            answer._replace(
                top=answer.top[:top], prior=answer.prior and answer.prior[:top]
            ).to_dict()
            for answer, top in zip(answers, tops, strict=True)
        ]

    def caption(
        self, beam_size: int | None, images: Sequence[EncodedImage]
    ) -> list[dict[str, Any]]:
        """Captions of images, in one batch."""
        return [one.to_dict() for one in self.run.captions(images, beam_size)]

    def explain(
        self, question: str | None, beam_size: int | None, top: int, images: Sequence[EncodedImage]
    ) -> list[dict[str, Any]]:
        """Answers or captions with their maps, one after another: one may need many copies of its
        image.
        """
        explain = partial(self.run.explain, question=question, top=top, beam_size=beam_size)
        return [explain(image).to_dict(maps=True) for image in images]

    def facts(self) -> dict[str, Any]:
        """What `/v1/runs` tells of it, found out by one prediction for a grey image: so all that
        it needs is at hand, and built.
        """
        header, path = self.run.opened.header, self.run.opened.path
        store = header.store.preprocessing
        grey = torch.full((3, store.height, store.width), 128, dtype=torch.uint8)
        (image,) = self.encode([Pixels(grey, store.width, store.height)])
        if self.task == "vqa":
            attends = self.run.answers([image], ["?"])[0].attention is not None
        else:
            words = self.run.captions([image])[0].words
            attends = any(word.attention is not None for word in words)
        scores = {
            split: {
                name: value
                for name, value in found.items()
                if name in METRICS and isinstance(value, int | float)
            }
            for split, found in (
                read_scores(path) if (path / "scores.json").exists() else {}
            ).items()
        }
        return {
            "name": self.name,
            "task": self.task,
            "recipe": header.recipe_name,
            "model": header.recipe.model.kind,
            "grid": self.run.grid,
            "attends": attends,
            "faithfulness": faithfulness_sentence(path),
            "seed": header.recipe.train.seed,
            "epoch": kept_epoch(path),
            "scores": scores or None,
            "findings": training_findings(self.run.opened),
        }
