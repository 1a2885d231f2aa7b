"""Answers and captions for any image, with a run's own preprocessing, backbone, words and weights.

`saccade.load("runs/x")` gives a `Run`. An image is encoded once, however often it is asked about.

Shapes: I images, R regions, D numbers per region.
"""

import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack, cast, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.config import DecodeConfig
from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, SaccadeWarning
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.data.batch import Batch, Captioner, VqaBatch
from saccade.data.reading import is_text
from saccade.features.backbones import Backbone, build_backbone
from saccade.features.images import ImageInput, image_name, open_image
from saccade.features.preprocessing import (
    boxes_in_image,
    grid_boxes,
    resize_and_crop,
    smaller_than_crop,
)
from saccade.features.reduction import Reducer
from saccade.inference.answers import Answer, CaptionWord, GeneratedCaption, thumbnail
from saccade.inference.batched import (
    AnsweredBatch,
    PredictedCaption,
    answer_batches,
    caption_batches,
    image_batch,
    question_batch,
    question_batches,
)
from saccade.inference.decoding import Rules, draw, replay, rules_of
from saccade.inference.image_lists import Asked, in_batches, pair
from saccade.inference.model import load_model
from saccade.inference.occlusion import with_answer_map, with_word_maps
from saccade.interop.pretrained import save_pretrained
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import BACKBONE, OpenedRun, open_run, training_findings
from saccade.text.segmentation import as_sentence
from saccade.text.tokenizers import as_question

BATCH = 32
"""Images of a list that are encoded at once, by default."""
MAX_QUESTION = 5000
"""Characters of a question that are read: a network takes a step for each word."""


class QuestionWords(NamedTuple):
    """A question as a model reads it."""

    ids: list[int]
    unknown: tuple[str, ...]
    """Its words that the model never learnt, each once."""
    is_known: bool
    """Whether the model learnt at least one of its words."""


class EncodedPixels(NamedTuple):
    """Several images as a model's input; what lies beyond an image's own regions is not in its
    mask.
    """

    regions: Tensor  # (I, R, D)
    mask: Tensor  # (I, R)
    boxes: np.ndarray  # (I, R, 4)


class EncodedImage(NamedTuple):
    """An image as a model's input: encode once, ask often."""

    regions: Tensor  # (1, R, D)
    mask: Tensor  # (1, R)
    boxes: np.ndarray  # (R, 4)
    thumbnail: np.ndarray | None = None
    """(h, w, 3) uint8, a small copy of the image for drawings; none of images of a list."""

    def __repr__(self) -> str:
        _, count, width = self.regions.shape
        return f"EncodedImage({count} regions of {width} numbers, {self.regions.device})"


OneImage = ImageInput | EncodedImage
Images = OneImage | list[Any]
"""An image, or a list of them."""
Found = TypeVar("Found")


class ListOptions(TypedDict, total=False):
    """How lists are gone through."""

    batch_size: int
    """Images that are encoded at once; by default 32."""
    progress: bool | None
    """Show a bar; by default where it can move and there are several batches."""


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
        self._lock, self._made = threading.Lock(), cast("tuple[Backbone, Reducer] | None", None)

    def __repr__(self) -> str:
        kind = self.opened.header.recipe.model.kind
        return f"Run({str(self.opened.path)!r}, {self.task}, {kind}, {self.device})"

    @overload
    def encode(self, image: ImageInput) -> EncodedImage: ...
    @overload
    def encode(self, image: list[Any], **options: Unpack[ListOptions]) -> list[EncodedImage]: ...
    def encode(
        self, image: ImageInput | list[Any], **options: Unpack[ListOptions]
    ) -> EncodedImage | list[EncodedImage]:
        """Read an image and extract its regions as the training features were.

        It is a path, the bytes of a file, a binary file that is open, an image of Pillow, or an
        array of uint8, H x W x 3 or H x W; or a list of them, see `ListOptions`. Raises BadImage
        for what is no image, MissingWeights where the backbone's weights are not at hand.
        """
        return self._predicted(pair(image), lambda images, _: images, **options)

    def _predicted(
        self,
        asked: Asked,
        predict: Callable[[list[EncodedImage], list[str]], list[Found]],
        batch_size: int = BATCH,
        progress: bool | None = None,
        *,
        shown: bool = False,
    ) -> Found | list[Found]:
        """What `predict` gives for images and questions, in batches; a list for lists. `shown`
        keeps small copies of a list's images, too.
        """
        _refuse_below_one(batch_size=batch_size)
        encode = partial(self._encoded, shown=shown or not asked.is_list)
        found = in_batches(asked, batch_size, progress, encode, predict)
        return found if asked.is_list else found[0]

    def _encoded(
        self, images: Sequence[ImageInput | EncodedImage], *, shown: bool
    ) -> list[EncodedImage]:
        """Images, encoded unless they are; `shown` keeps a small copy of each for drawings."""
        preprocessing, pixels, sizes = self.opened.header.store.preprocessing, [], []
        thumbnails = list[np.ndarray | None]()
        for image in images:
            if isinstance(image, EncodedImage):
                continue
            opened = open_image(image, preprocessing.window)
            if remark := smaller_than_crop(opened, preprocessing):
                warnings.warn(f"{image_name(image)} {remark}.", SaccadeWarning, stacklevel=2)
            pixels.append(resize_and_crop(opened, preprocessing))
            sizes.append((opened.shape[2], opened.shape[1]))
            thumbnails.append(thumbnail(opened.permute(1, 2, 0).numpy()) if shown else None)
        if not pixels:
            return cast("list[EncodedImage]", list(images))
        stacked = self.encode_pixels(torch.stack(pixels), np.array(sizes))
        counts, found = stacked.mask.sum(dim=1).tolist(), list[EncodedImage]()
        for row, (count, small) in enumerate(zip(counts, thumbnails, strict=True)):
            regions, mask = (
                part[row : row + 1, :count] for part in (stacked.regions, stacked.mask)
            )
            found.append(EncodedImage(regions, mask, stacked.boxes[row, :count], small))
        new = iter(found)
        return [image if isinstance(image, EncodedImage) else next(new) for image in images]

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor, sizes: np.ndarray) -> EncodedPixels:
        """Several images, resized and cropped `(I, 3, h, w)`, in one batch.

        `sizes (I, 2)` are width and height of the image files.
        """
        try:
            return self._encode_pixels(pixels.to(self.device, non_blocking=True), sizes)
        except torch.OutOfMemoryError:
            message = f"{self.device} has not enough memory for {len(pixels)} images at once"
            hint = "Give a smaller batch size; a `predict` goes on where it was."
            raise BadConfig(message, hint=hint) from None

    def _encode_pixels(self, pixels: Tensor, sizes: np.ndarray) -> EncodedPixels:
        header = self.opened.header.store
        preprocessing = header.preprocessing
        if self.encoder is not None:
            boxes = boxes_in_image(self.encoder.spec.boxes, preprocessing, *sizes.T)
            return EncodedPixels(*self.encoder.encode(pixels.flatten(2).mT), boxes)
        backbone, reducer = self._network()
        encoded = backbone.encode(pixels, preprocessing, sizes)
        boxes = encoded.boxes
        if header.grid is not None:  # which may be coarser than the backbone's
            boxes = boxes_in_image(grid_boxes(*header.grid), preprocessing, *sizes.T)
        # Rounded as the store rounds, so that prediction and training use the same numbers.
        regions = reducer.rounded(reducer.reduce(encoded.regions, encoded.grid))
        counts = np.minimum(encoded.counts, regions.shape[1]).clip(1)  # a detector may find nothing
        place = torch.arange(regions.shape[1], device=self.device)
        mask = place < torch.from_numpy(counts).to(self.device)[:, None]
        return EncodedPixels(regions, mask, boxes)

    def _network(self) -> tuple[Backbone, Reducer]:
        """The network that made the run's features, and what it did to them before storing. It is
        made when the first image needs it, once for all threads.
        """
        with self._lock:
            if self._made is None:
                path, header = self.opened.path, self.opened.header.store
                kept = path / BACKBONE
                backbone = build_backbone(header.backbone, kept if kept.exists() else None)
                reducer = Reducer(path, header.reduction, header.dtype, header.scale)
                self._made = backbone.to(self.device), reducer
            return self._made

    def encode_batch(self, batch: Batch) -> Batch:
        """A batch of the run's store as `model` takes it: pixels are encoded first."""
        return batch if self.encoder is None else self.encoder.encode_batch(batch)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the model's regions; None for boxes."""
        header = self.opened.header.store
        return header.grid if self.encoder is None else self.encoder.spec.grid

    @overload
    def ask(  # type: ignore[overload-overlap]  # one of each gives one
        self, image: OneImage, question: str, top: int = 5, *, refuse_unknown: bool = True
    ) -> Answer: ...
    @overload
    def ask(
        self,
        image: Images,
        question: str | list[str],
        top: int = 5,
        *,
        refuse_unknown: bool = True,
        **options: Unpack[ListOptions],
    ) -> list[Answer]: ...
    def ask(
        self,
        image: Images,
        question: str | list[str],
        top: int = 5,
        *,
        refuse_unknown: bool = True,
        **options: Unpack[ListOptions],
    ) -> Answer | list[Answer]:
        """Answer a question about an image: as `encode` takes it, or the result of `encode`.

        A list of images with one question, or with as many, and one image with a list of questions
        give a list of answers, see `ListOptions`. The answer to one question about one image keeps
        a small copy of the image, those of lists do not.

        Raises BadConfig for a run that writes captions, a `top` below 1, a question without a word,
        and, with `refuse_unknown`, one of which the model never learnt a word: its answer would be
        the same for any other such question.
        """
        self.refuse_task("vqa")
        _refuse_below_one(top=top)
        asked = pair(image, question)
        for text in dict.fromkeys(asked.questions):
            self.refuse_unanswerable(text, refuse_unknown=refuse_unknown)
        return self._predicted(asked, partial(self.answers, top=top), **options)

    def refuse_unanswerable(self, question: str, *, refuse_unknown: bool) -> None:
        """Raise BadConfig for a question that `ask` refuses."""
        self.refuse_wordless(question)
        read = self.read_question(question)
        if refuse_unknown and not read.is_known:
            message = f"the model never learnt a word of {question[:40]!r}"
            hint = f"Ask in words of its training questions; unknown: {', '.join(read.unknown)}."
            raise BadConfig(message, location=self.opened.path, hint=hint)

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
        batches = question_batches(
            *stack_images(distinct), rows, [words.ids for words in read], pad
        )
        _refuse_below_one(top=top)
        found = list[Answer]()
        for answered in self.answer(batches, top):
            maps = answered.output.attention
            for row, ranked in enumerate(answered.top):
                image, words = images[len(found)], read[len(found)]
                own = None if maps is None else maps[row, :, : len(image.boxes)].cpu().numpy()
                prior = answered.prior[row] if answered.prior else None
                answer = Answer(ranked[0][0], ranked, own, image.boxes, words.unknown, prior)
                about = questions[len(found)]
                found.append(answer._replace(question=about, image=image.thumbnail))
        return found

    def answer(self, batches: Iterable[VqaBatch], top: int = 1) -> Iterator[AnsweredBatch]:
        """Answer batches of questions on regions, as `model` takes them."""
        answers, config = self.opened.words.answers, self.opened.header.recipe.answers
        assert answers is not None  # a VQA run cannot be made without
        assert config is not None
        return answer_batches(self.model, batches, answers, config.loss, top)

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

    @overload
    def explain(self, image: OneImage, question: str, *, top: int = 5) -> Answer: ...
    @overload
    def explain(
        self, image: OneImage, question: None = None, *, beam_size: int | None = None
    ) -> GeneratedCaption: ...
    @overload
    def explain(
        self,
        image: Images,
        question: str | list[str] | None = None,
        *,
        top: int = 5,
        beam_size: int | None = None,
        **options: Unpack[ListOptions],
    ) -> Any: ...
    def explain(
        self,
        image: Images,
        question: str | list[str] | None = None,
        *,
        top: int = 5,
        beam_size: int | None = None,
        **options: Unpack[ListOptions],
    ) -> Any:
        """The answer of `ask`, or the caption of `caption`, with maps of what it rests on.

        They are the model's attention, or, where it has none, the cost of hiding each region:
        `map_kind` says which. All keep a small copy of their image, those of lists, too. Raises
        BadConfig as `ask`, where a question is missing or not wanted, and, for a model without
        attention, where the image is one region, which cannot be hidden.
        """

        def answers(images: list[EncodedImage], questions: list[str]) -> list[Answer]:
            found = self.answers(images, questions, top)
            given = zip(images, questions, found, strict=True)
            return [with_answer_map(self, *one) for one in given]

        def captions(images: list[EncodedImage], _: list[str]) -> list[GeneratedCaption]:
            found = self.captions(images, beam_size)
            return [with_word_maps(self, *one) for one in zip(images, found, strict=True)]

        self.refuse_question(missing=question is None)
        if question is None:
            _refuse_below_one(beam_size=beam_size)
            return self._predicted(pair(image), captions, shown=True, **options)
        _refuse_below_one(top=top)
        asked = pair(image, question)
        for text in dict.fromkeys(asked.questions):
            self.refuse_unanswerable(text, refuse_unknown=True)
        return self._predicted(asked, answers, shown=True, **options)

    def check_question(self, question: str | None) -> None:
        """Raise BadConfig where a question is missing, holds no word, or is not wanted."""
        self.refuse_question(missing=question is None)
        if question is not None:
            self.refuse_wordless(question)

    def refuse_question(self, *, missing: bool) -> None:
        """Raise BadConfig where a question is missing, or is not wanted."""
        path, asks = self.opened.path, TASK_INFO[self.task].asks_question
        if asks and missing:
            hint = "Give it a question."
            raise BadConfig("this run answers questions", location=path, hint=hint)
        if not asks and not missing:
            hint = "Leave the question out."
            raise BadConfig("this run writes captions", location=path, hint=hint)

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

    @overload
    def sample(
        self, image: OneImage, count: int = 5, *, seed: int = 0, **options: Any
    ) -> list[str]: ...
    @overload
    def sample(
        self, image: list[Any], count: int = 5, *, seed: int = 0, **options: Any
    ) -> list[list[str]]: ...
    def sample(
        self, image: Images, count: int = 5, *, seed: int = 0, **options: Any
    ) -> list[str] | list[list[str]]:
        """Sample captions of an image, instead of searching for the likeliest one.

        A list of images gives a list of lists. `options` as in `decoding.draw`: temperature, top_k,
        top_p. Equal seeds give equal captions, alone and in a list.
        """
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        _refuse_below_one(count=count)
        rules = rules_of(vocabulary, decode)

        def captions(encoded: EncodedImage) -> list[str]:
            given = cast(Captioner, self.model), encoded.regions, encoded.mask, rules
            generator = torch.Generator(self.device).manual_seed(seed)
            with torch.inference_mode():
                sampled = draw(*given, samples=count, generator=generator, **options)
            rows = zip(sampled.words[0].tolist(), sampled.length[0].tolist(), strict=True)
            texts = [words[: length - (words[length - 1] == rules.end)] for words, length in rows]
            return [as_sentence(vocabulary.decode(words)) for words in texts]

        found: Any = self._predicted(pair(image), lambda images, _: [*map(captions, images)])
        return found  # type: ignore[no-any-return]  # of texts, or of lists of them

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

    @overload
    def caption(self, image: OneImage, beam_size: int | None = None) -> GeneratedCaption: ...
    @overload
    def caption(
        self, image: list[Any], beam_size: int | None = None, **options: Unpack[ListOptions]
    ) -> list[GeneratedCaption]: ...
    def caption(
        self, image: Images, beam_size: int | None = None, **options: Unpack[ListOptions]
    ) -> GeneratedCaption | list[GeneratedCaption]:
        """Write the caption of an image by beam search; `beam_size` is by default the recipe's.

        A list of images gives a list of captions, as `ask` does. Raises BadConfig for a run that
        answers questions.
        """
        self.refuse_task("caption")
        _refuse_below_one(beam_size=beam_size)

        def captions(images: list[EncodedImage], _: list[str]) -> list[GeneratedCaption]:
            return self.captions(images, beam_size)

        return self._predicted(pair(image), captions, **options)

    def captions(
        self, images: Sequence[EncodedImage], beam_size: int | None = None
    ) -> list[GeneratedCaption]:
        """Captions of images: those of `caption`, in one batch."""
        vocabulary, decode = self.opened.words.vocabulary, self._decode_config()
        _refuse_below_one(beam_size=beam_size)
        stacked, rules = stack_images(images), rules_of(vocabulary, decode)
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
            small = image.thumbnail
            captions.append(GeneratedCaption(text, words, log_p, image.boxes, image=small))
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


def stack_images(images: Collection[EncodedImage]) -> tuple[Tensor, Tensor]:
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
