"""Answers and captions for any image, with a run's own preprocessing, backbone, words and weights.

`saccade.load("runs/x")` gives a `Run`. An image is encoded once, however often it is asked about.

Shapes: R regions, D numbers per region, G glimpses.
"""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.config import DecodeConfig
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, SaccadeWarning
from saccade.core.tasks import TaskName
from saccade.data.batch import Batch, Captioner, VqaBatch
from saccade.data.reading import is_text
from saccade.features.backbones import Backbone, build_backbone
from saccade.features.images import read_image
from saccade.features.preprocessing import (
    boxes_in_image,
    grid_boxes,
    resize_and_crop,
    smaller_than_crop,
)
from saccade.features.reduction import Reducer
from saccade.inference.batched import (
    AnsweredBatch,
    PredictedCaption,
    answer_batches,
    caption_batches,
    image_batch,
    question_batch,
)
from saccade.inference.decoding import Rules, draw, replay, rules_of
from saccade.inference.model import load_model
from saccade.interop.pretrained import save_pretrained
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import BACKBONE, OpenedRun, open_run, training_findings
from saccade.text.segmentation import as_sentence
from saccade.text.tokenizers import as_question

MAX_QUESTION = 5000
"""Characters of a question that are read: a network takes a step for each word."""


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
    unknown: tuple[str, ...] = ()
    """Words of the question that the model never learnt, as it cuts them."""
    prior: list[tuple[str, float]] | None = None
    """What the model's answer prior, which sees no image, finds likeliest; None without one."""


class QuestionWords(NamedTuple):
    """A question as a model reads it."""

    ids: list[int]
    unknown: tuple[str, ...]
    """Its words that the model never learnt, each once."""
    is_known: bool
    """Whether the model learnt at least one of its words."""


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
        preprocessing = self.opened.header.store.preprocessing
        pixels = read_image(Path(image), preprocessing.window)
        if remark := smaller_than_crop(pixels, preprocessing):
            warnings.warn(f"{image} {remark}.", SaccadeWarning, stacklevel=2)
        resized = resize_and_crop(pixels, preprocessing)[None]  # (1, 3, h, w)
        encoded = self.encode_pixels(resized, np.array([(pixels.shape[2], pixels.shape[1])]))
        count = int(encoded.mask.sum())
        return EncodedImage(
            encoded.regions[:, :count], encoded.mask[:, :count], encoded.boxes[0, :count]
        )

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor, sizes: np.ndarray) -> EncodedImage:
        """The same of several images, resized and cropped `(I, 3, h, w)`; `boxes (I, R, 4)`.

        `sizes (I, 2)` are width and height of the image files.
        """
        header = self.opened.header.store
        preprocessing, pixels = header.preprocessing, pixels.to(self.device, non_blocking=True)
        if self.encoder is not None:
            boxes = boxes_in_image(self.encoder.spec.boxes, preprocessing, *sizes.T)
            return EncodedImage(*self.encoder.encode(pixels.flatten(2).mT), boxes)
        backbone, reducer = self._network
        encoded = backbone.encode(pixels, preprocessing, sizes)
        boxes = encoded.boxes
        if header.grid is not None:  # which may be coarser than the backbone's
            boxes = boxes_in_image(grid_boxes(*header.grid), preprocessing, *sizes.T)
        # Rounded as the store rounds, so that prediction and training use the same numbers.
        regions = reducer.rounded(reducer.reduce(encoded.regions, encoded.grid))
        counts = torch.from_numpy(np.minimum(encoded.counts, regions.shape[1])).to(self.device)
        mask = torch.arange(regions.shape[1], device=self.device) < counts[:, None]
        return EncodedImage(regions, mask, boxes)

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

    def ask(
        self,
        image: str | Path | EncodedImage,
        question: str,
        top: int = 5,
        *,
        refuse_unknown: bool = True,
    ) -> Answer:
        """Answer a question about an image: a file, or the result of `encode`.

        Raises BadConfig for a run that writes captions, a `top` below 1, a question without a word,
        and, with `refuse_unknown`, one of which the model never learnt a word: its answer would be
        the same for any other such question.
        """
        self.refuse_task("vqa")
        encoded = self._encoded(image)
        self.refuse_wordless(question)
        read = self.read_question(question)
        if refuse_unknown and not read.is_known:
            message = f"the model never learnt a word of {question[:40]!r}"
            hint = f"Ask in words of its training questions; unknown: {', '.join(read.unknown)}."
            raise BadConfig(message, location=self.opened.path, hint=hint)
        return self.answers([encoded], [question], top)[0]

    def answers(
        self, images: Sequence[EncodedImage], questions: Sequence[str], top: int = 5
    ) -> list[Answer]:
        """Answers to questions, each about the image in its place: those of `ask`, in one batch.

        A question without a word that the model learnt is answered too, as `evaluate` does.
        """
        place = dict[int, int]()
        rows = [place.setdefault(id(one), len(place)) for one in images]
        distinct = {id(one): one for one in images}.values()
        read, pad = [*map(self.read_question, questions)], self.opened.words.vocabulary.pad
        batch = question_batch(*_stack(distinct), rows, [words.ids for words in read], pad)
        _refuse_below_one(top=top)
        (answered,) = self.answer([batch], top)
        maps, found = answered.output.attention, []
        for row, (image, words, ranked) in enumerate(zip(images, read, answered.top, strict=True)):
            own = None if maps is None else maps[row, :, : len(image.boxes)].cpu().numpy()
            prior = answered.prior[row] if answered.prior else None
            found.append(Answer(ranked[0][0], ranked, own, image.boxes, words.unknown, prior))
        return found

    def answer(self, batches: Iterable[VqaBatch], top: int = 1) -> Iterator[AnsweredBatch]:
        """Answer batches of questions on regions, as `model` takes them."""
        answers, config = self.opened.words.answers, self.opened.header.recipe.answers
        assert answers is not None  # a VQA run cannot be made without
        assert config is not None
        return answer_batches(self.model, batches, answers, config.loss, top)

    def _encoded(self, image: str | Path | EncodedImage) -> EncodedImage:
        return image if isinstance(image, EncodedImage) else self.encode(image)

    def read_question(self, question: str) -> QuestionWords:
        """A question cut into words as in training."""
        vocabulary, text = self.opened.words.vocabulary, self.opened.header.recipe.text
        if len(question) > MAX_QUESTION:
            note = f"a question has {len(question):,} characters: the first {MAX_QUESTION:,} count"
            warnings.warn(note, SaccadeWarning, stacklevel=2)
        tokens = vocabulary.cut(as_question(question[:MAX_QUESTION]))[: text.max_length]
        words = {token for token in tokens if any(map(str.isalnum, token))}
        unknown = tuple(vocabulary.unknown_words(tokens))
        ids = vocabulary.encode(tokens) or [vocabulary.unknown]
        return QuestionWords(ids, unknown, len(words) > len(unknown))

    @staticmethod
    def refuse_wordless(question: str) -> None:
        """Raise BadConfig for a question without a word, or of half characters."""
        if not any(map(str.isalnum, question)) or not is_text([question]):
            raise BadConfig(f"{question[:40]!r} holds no words of UTF-8", hint="Ask in words.")

    def question(self, encoded: EncodedImage, question: str) -> VqaBatch:
        """A batch of one question. Raises BadConfig for one without a word."""
        self.refuse_wordless(question)
        ids, pad = self.read_question(question).ids, self.opened.words.vocabulary.pad
        return question_batch(encoded.regions, encoded.mask, [0], [ids], pad)

    def sample(
        self, image: str | Path | EncodedImage, count: int = 5, *, seed: int = 0, **options: Any
    ) -> list[str]:
        """Sample captions of an image, instead of searching for the likeliest one.

        `options` as in `decoding.draw`: temperature, top_k, top_p. Equal seeds give equal captions.
        """
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        _refuse_below_one(count=count)
        encoded, rules = self._encoded(image), rules_of(vocabulary, decode)
        given = cast(Captioner, self.model), encoded.regions, encoded.mask, rules
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.inference_mode():
            sampled = draw(*given, samples=count, generator=generator, **options)
        rows = zip(sampled.words[0].tolist(), sampled.length[0].tolist(), strict=True)
        captions = [words[: length - (words[length - 1] == rules.end)] for words, length in rows]
        return [as_sentence(vocabulary.decode(words)) for words in captions]

    def _decode_config(self) -> DecodeConfig:
        self.refuse_task("caption")
        decode = self.opened.header.recipe.decode
        assert decode is not None  # a captioning recipe cannot be built without
        return decode

    def refuse_task(self, wanted: TaskName) -> None:
        """Raise BadConfig where the run is not of the task that is wanted of it."""
        if self.task != wanted:
            does = {"vqa": ("answers questions", "ask"), "caption": ("writes captions", "caption")}
            message, command = does[self.task]
            hint = f"Use `{command}` with it."
            raise BadConfig(f"this run {message}", location=self.opened.path, hint=hint)

    def caption(
        self, image: str | Path | EncodedImage, beam_size: int | None = None
    ) -> GeneratedCaption:
        """Write the caption of an image by beam search; `beam_size` is by default the recipe's.

        Raises BadConfig for a run that answers questions.
        """
        self.refuse_task("caption")
        return self.captions([self._encoded(image)], beam_size)[0]

    def captions(
        self, images: Sequence[EncodedImage], beam_size: int | None = None
    ) -> list[GeneratedCaption]:
        """Captions of images: those of `caption`, in one batch."""
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        _refuse_below_one(beam_size=beam_size)
        stacked, rules = _stack(images), rules_of(vocabulary, decode)
        (best,) = self.write([image_batch(*stacked)], rules, beam_size)
        hypotheses = [one.hypothesis for one in best]
        given = cast(Captioner, self.model), *stacked
        replayed = replay(*given, [one.words for one in hypotheses], rules)
        captions = []
        for image, hypothesis, maps, sentinels in zip(images, hypotheses, *replayed, strict=True):
            texts = vocabulary.decode(hypothesis.words)
            words = [
                CaptionWord(
                    text,
                    None if maps is None else maps[t, : len(image.boxes)].cpu().numpy(),
                    None if sentinels is None else float(sentinels[t]),
                )
                for t, text in enumerate(texts)
            ]
            text, log_p = as_sentence(texts), hypothesis.log_probability
            captions.append(GeneratedCaption(text, words, log_p, image.boxes))
        return captions

    def write(
        self, batches: Iterable[Batch], rules: Rules, beam_size: int | None = None
    ) -> Iterator[list[PredictedCaption]]:
        """Write a caption of every image of batches, as `model` takes them."""
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        beams = beam_size or decode.beam_size
        return caption_batches(self.model, batches, vocabulary, rules, beams)

    def save_pretrained(self, folder: str | Path, *, licence: str | None = None) -> Path:
        """Write the run into a folder by the conventions of the Hugging Face hub, with a model card
        and the backbone's weights: `saccade.from_pretrained(folder)` gives it back.

        `licence` is that of the weights, by the hub's names: "apache-2.0", "cc-by-4.0", "other".
        Raises BadConfig where `folder` holds other things, MissingWeights where the backbone's
        weights are not at hand.
        """
        return save_pretrained(self.opened, Path(folder), licence)


def _stack(images: Collection[EncodedImage]) -> tuple[Tensor, Tensor]:
    """Regions (I, R, D) and mask (I, R) of images, padded to the most regions that one has."""
    regions = pad_sequence([image.regions[0] for image in images], batch_first=True)
    return regions, pad_sequence([image.mask[0] for image in images], batch_first=True)


def _refuse_below_one(**given: int | None) -> None:
    """Raise BadConfig for a number of things that is less than 1."""
    for name, value in given.items():
        if value is not None and value < 1:
            raise BadConfig(f"is {value}", location=name, hint="Give 1 or more.")


def load(path: str | Path, device: str = "auto") -> Run:
    """Open a run folder and put its best weights on a device: see `saccade.load`."""
    opened = open_run(Path(path))
    for finding in training_findings(opened):
        warnings.warn(f"while this run trained, {finding}", SaccadeWarning, stacklevel=3)
    return Run(opened, choose_device(device))
