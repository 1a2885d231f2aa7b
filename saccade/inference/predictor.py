"""Answers and captions for any image, with a run's own preprocessing, backbone, words and weights.

`saccade.load("runs/x")` gives a `Run`. An image is encoded once, however often it is asked about.

Shapes: R regions, D numbers per region, G glimpses.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from saccade.config import DecodeConfig
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig
from saccade.data.batch import Batch, Captioner, VqaBatch, VqaOutput
from saccade.features.backbones import Backbone, build_backbone
from saccade.features.images import read_image
from saccade.features.preprocessing import boxes_in_image, grid_boxes, resize_and_crop
from saccade.features.reduction import Reducer
from saccade.inference.decoding import beam_search, draw, likeliest_answers, replay, rules_of
from saccade.inference.model import load_model
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import BACKBONE, OpenedRun, open_run
from saccade.text.segmentation import as_sentence
from saccade.text.tokenizers import as_question


class Answer(NamedTuple):
    """An answer with its probability and the model's attention."""

    text: str
    top: list[tuple[str, float]]
    """The likeliest answers with their probabilities, the likeliest first; over all answers they
    sum to 1, except where the loss is "logistic" and each answer is predicted independently."""
    attention: np.ndarray | None
    """(G, R) one map per glimpse, each sums to 1; None for a model without attention."""
    boxes: np.ndarray
    """(R, 4) x0 y0 x1 y1 of each region as shares of the image's width and height."""


class CaptionWord(NamedTuple):
    """One word of a caption with the model's attention."""

    text: str
    attention: np.ndarray | None  # (R,)
    sentinel: float | None
    """Share of attention, 0..1, given to the sentence so far instead of the image."""


class GeneratedCaption(NamedTuple):
    """A caption that a model generated for an image."""

    text: str
    words: list[CaptionWord]
    log_probability: float
    boxes: np.ndarray  # (R, 4)


class EncodedImage(NamedTuple):
    """An image as a model's input: encode once, ask often."""

    regions: Tensor  # (1, R, D)
    mask: Tensor  # (1, R)
    boxes: np.ndarray  # (R, 4)


class Run:
    """A trained model with everything around it. Make one with `load`."""

    def __init__(self, opened: OpenedRun, device: torch.device) -> None:
        self.opened, self.device = opened, device
        whole = load_model(opened).to(device)
        self.encoder = whole if isinstance(whole, EncodedModel) else None
        """The encoder with the model behind it, where the run has an encoder."""
        self.model = without_encoder(whole)
        """The model that takes regions, such as those of `encode`."""
        self.task = opened.header.recipe.task

    def encode(self, image: str | Path) -> EncodedImage:
        """Read an image file and extract its regions as the training features were.

        Raises BadImage for a file that is no image, MissingWeights where the backbone's weights
        are not at hand.
        """
        header = self.opened.header.store
        preprocessing = header.preprocessing
        pixels = read_image(Path(image), preprocessing.window)
        size = pixels.shape[2], pixels.shape[1]
        resized = resize_and_crop(pixels, preprocessing)[None].to(self.device)  # (1, 3, h, w)
        with torch.inference_mode():
            if self.encoder is not None:
                boxes = boxes_in_image(self.encoder.spec.boxes, preprocessing, *size)
                return EncodedImage(*self.encoder.encode(resized.flatten(2).mT), boxes)
            backbone, reducer = self._network
            encoded = backbone.encode(resized, preprocessing, np.array([size]))
            count, boxes = int(encoded.counts[0]), encoded.boxes[0]
            if header.grid is not None:  # which may be coarser than the backbone's
                boxes = boxes_in_image(grid_boxes(*header.grid), preprocessing, *size)
            regions = reducer.reduce(encoded.regions[:, :count], encoded.grid)
            # Rounded as the store rounds, so that prediction and training use the same numbers.
            regions = reducer.rounded(regions)
        mask = torch.ones(regions.shape[:2], dtype=torch.bool, device=self.device)
        return EncodedImage(regions, mask, boxes[:count])

    @cached_property
    def _network(self) -> tuple[Backbone, Reducer]:
        """The network that made the run's features, and what it did to them before storing."""
        path, header = self.opened.path, self.opened.header.store
        kept = path / BACKBONE
        backbone = build_backbone(header.backbone, kept if kept.exists() else None)
        reducer = Reducer(path, header.reduction, header.dtype, header.scale)
        return backbone.to(self.device), reducer

    def encode_batch(self, batch: Batch) -> Batch:
        """A batch of the run's store as `model` takes it: pixels are encoded first."""
        return batch if self.encoder is None else self.encoder.encode_batch(batch)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the model's regions; None for boxes."""
        header = self.opened.header.store
        return header.grid if self.encoder is None else self.encoder.spec.grid

    def ask(self, image: str | Path | EncodedImage, question: str, top: int = 5) -> Answer:
        """Answer a question about an image: a file, or the result of `encode`.

        Raises BadConfig for a run that writes captions, or a question without a word.
        """
        answers, config = self.opened.words.answers, self.opened.header.recipe.answers
        if answers is None or config is None:
            hint = "Use `caption` with it."
            raise BadConfig("this run writes captions", location=self.opened.path, hint=hint)
        encoded = self._encoded(image)
        batch = self.question(encoded, question)
        with torch.inference_mode():
            output: VqaOutput = self.model(batch)
            best, shares = likeliest_answers(output.logits, config.loss, top)
        ranked = [
            (answers.answers[index], probability)
            for index, probability in zip(best[0].tolist(), shares[0].tolist(), strict=True)
        ]
        attention = None if output.attention is None else output.attention[0].cpu().numpy()
        return Answer(ranked[0][0], ranked, attention, encoded.boxes)

    def _encoded(self, image: str | Path | EncodedImage) -> EncodedImage:
        return image if isinstance(image, EncodedImage) else self.encode(image)

    def question(self, encoded: EncodedImage, question: str) -> VqaBatch:
        """A batch of one question, cut into words as in training. Raises BadConfig for no words."""
        vocabulary = self.opened.words.vocabulary
        tokens = vocabulary.cut(as_question(question))
        ids = vocabulary.encode(tokens[: self.opened.header.recipe.text.max_length])
        if not ids or not any(map(str.isalnum, question)):
            raise BadConfig(f"{question[:40]!r} holds no word", hint="Ask in words.")
        return VqaBatch(
            encoded.regions,
            encoded.mask,
            image=torch.zeros(1, dtype=torch.int64, device=self.device),
            question=torch.tensor([ids], device=self.device),
            question_length=torch.tensor([len(ids)], device=self.device),
        )

    def sample(
        self, image: str | Path | EncodedImage, count: int = 5, *, seed: int = 0, **options: Any
    ) -> list[str]:
        """Sample captions of an image, instead of searching for the likeliest one.

        `options` as in `decoding.draw`: temperature, top_k, top_p. Equal seeds give equal captions.
        """
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        encoded, rules = self._encoded(image), rules_of(vocabulary, decode)
        given = cast(Captioner, self.model), encoded.regions, encoded.mask, rules
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.inference_mode():
            sampled = draw(*given, samples=count, generator=generator, **options)
        rows = zip(sampled.words[0].tolist(), sampled.length[0].tolist(), strict=True)
        captions = [words[: length - (words[length - 1] == rules.end)] for words, length in rows]
        return [as_sentence(vocabulary.decode(words)) for words in captions]

    def _decode_config(self) -> DecodeConfig:
        decode = self.opened.header.recipe.decode
        if decode is None:
            hint = "Use `ask` with it."
            raise BadConfig("this run answers questions", location=self.opened.path, hint=hint)
        return decode

    def caption(
        self, image: str | Path | EncodedImage, beam_size: int | None = None
    ) -> GeneratedCaption:
        """Write the caption of an image by beam search; `beam_size` is by default the recipe's.

        Raises BadConfig for a run that answers questions.
        """
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        encoded, rules = self._encoded(image), rules_of(vocabulary, decode)
        given = cast(Captioner, self.model), encoded.regions, encoded.mask
        (best,) = beam_search(*given, rules, beam_size=beam_size or decode.beam_size)
        (maps,), (sentinels,) = replay(*given, [best.words], rules)
        texts = vocabulary.decode(best.words)
        words = [
            CaptionWord(
                text,
                None if maps is None else maps[t].cpu().numpy(),
                None if sentinels is None else float(sentinels[t]),
            )
            for t, text in enumerate(texts)
        ]
        return GeneratedCaption(as_sentence(texts), words, best.log_probability, encoded.boxes)


def load(path: str | Path, device: str = "auto") -> Run:
    """Open a run folder and put its best weights on a device: see `saccade.load`."""
    return Run(open_run(Path(path)), choose_device(device))
