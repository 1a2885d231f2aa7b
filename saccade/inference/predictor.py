"""Asking and captioning any image: the run's own preprocessing, backbone, words and weights.

`saccade.load("runs/x")` gives a `Run`; an image is looked at once, however often it is asked.
"""

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
from saccade.inference.decoding import beam_search, draw, replay, rules_of, shares
from saccade.models.encoder import Pixels, behind
from saccade.run_folder import OpenedRun, load_model, open_run
from saccade.text.segmentation import as_sentence
from saccade.text.tokenizers import as_question


class Answer(NamedTuple):
    """What a model answers, how sure it is, and where it looked."""

    text: str
    top: list[tuple[str, float]]
    """The likeliest answers with their probabilities, falling; they compete, and add up to 1 over
    all answers, unless the model was taught to judge each by itself."""
    attention: np.ndarray | None
    """(G, R) one map per glimpse, each sums to 1; None for a model that does not attend."""
    boxes: np.ndarray
    """(R, 4) x0 y0 x1 y1 of each region as shares of the image's width and height."""


class Word(NamedTuple):
    """One word of a caption and where the model looked for it."""

    text: str
    attention: np.ndarray | None  # (R,)
    sentinel: float | None
    """Share of attention that went to the sentence so far instead of the image."""


class Captioned(NamedTuple):
    """What a model says of an image."""

    text: str
    words: list[Word]
    log_probability: float
    boxes: np.ndarray  # (R, 4)


class EncodedImage(NamedTuple):
    """An image as the model sees it; look once, ask often."""

    regions: Tensor  # (1, R, D)
    mask: Tensor  # (1, R)
    boxes: np.ndarray  # (R, 4)


class Run:
    """A trained model with everything around it. Make one with `load`."""

    def __init__(self, opened: OpenedRun, device: torch.device) -> None:
        self.opened, self.device = opened, device
        whole = load_model(opened).to(device)
        self.encoder = whole if isinstance(whole, Pixels) else None
        """What looks at pixels, where the run has an encoder."""
        self.model = behind(whole)
        """What looks at regions, such as `look` hands out."""
        self.task = opened.header.recipe.task
        self._backbone: Backbone | None = None
        self._reducer: Reducer | None = None

    def encode(self, image: str | Path) -> EncodedImage:
        """Read an image file and extract its regions as the training features were.

        Raises BadImage for a file that is no image, MissingWeights where the backbone's weights
        are not at hand.
        """
        image_record = read_image(Path(image))
        size = (image_record.shape[2], image_record.shape[1])
        with torch.inference_mode():
            preprocessing = self.opened.header.store.preprocessing
            regions, boxes = self._encode(
                resize_and_crop(image_record, preprocessing)[None].to(self.device), size
            )
        mask = torch.ones(regions.shape[:2], dtype=torch.bool, device=self.device)
        return EncodedImage(regions, mask, boxes)

    def _encode(self, pixels: Tensor, size: tuple[int, int]) -> tuple[Tensor, np.ndarray]:
        """Regions `(1, R, D)` of a prepared image `(1, 3, h, w)`, all of them real, and where
        they lie in the original one, whose width and height are `size`.
        """
        header = self.opened.header.store
        if self.encoder is not None:
            boxes = boxes_in_image(self.encoder.sight.boxes, header.preprocessing, *size)
            return self.encoder.encode(pixels.flatten(2).mT)[0], boxes
        if self._backbone is None:
            kept = self.opened.path / "backbone.safetensors"
            self._backbone = build_backbone(header.backbone, kept if kept.exists() else None)
            self._backbone.to(self.device)
        if self._reducer is None:
            about = (header.reduction, header.dtype, header.scale)
            self._reducer = Reducer(self.opened.path, *about)
        seen = self._backbone.encode(pixels, header.preprocessing, np.array([size]))
        count, boxes = int(seen.counts[0]), seen.boxes[0]
        if header.grid is not None:  # which may be coarser than the backbone's
            boxes = boxes_in_image(grid_boxes(*header.grid), header.preprocessing, *size)
        regions = self._reducer.reduce(seen.regions[:, :count], seen.grid)
        # Rounded as the store rounds, so that asking and training see the same numbers.
        return self._reducer.rounded(regions), boxes[:count]

    def seen(self, batch: Batch) -> Batch:
        """A batch from the run's store as `model` takes it: pixels are looked at first."""
        return batch if self.encoder is None else self.encoder.seen(batch)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the regions that the model looks at; none for boxes."""
        header = self.opened.header.store
        return header.grid if self.encoder is None else self.encoder.sight.grid

    def ask(self, image: str | Path | EncodedImage, question: str, top: int = 5) -> Answer:
        """Answer a question about an image (a file, or what `look` made of one)."""
        answers, said = self.opened.words.answers, self.opened.header.recipe.answers
        if answers is None or said is None:
            raise BadConfig(
                "this run writes captions", location=self.opened.path, hint="Use `caption` with it."
            )
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        batch = self.question(encoded, question)
        with torch.inference_mode():
            output: VqaOutput = self.model(batch)
            best = shares(output.logits, said.loss)[0].topk(min(top, len(answers)))
        ranked = [
            (answers.answers[index], share)
            for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        attention = None if output.attention is None else output.attention[0].cpu().numpy()
        return Answer(ranked[0][0], ranked, attention, encoded.boxes)

    def question(self, encoded: EncodedImage, question: str) -> VqaBatch:
        """A batch of one: a question about an image, as the model was trained to hear it.

        Raises BadConfig for a question without a word.
        """
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
        self, image: str | Path | EncodedImage, count: int = 5, *, seed: int = 0, **how: Any
    ) -> list[str]:
        """Draw captions of an image instead of searching for the likeliest: different ones.

        `how` as in `decode.draw`: temperature, top_k, top_p. Equal seeds draw equal captions.
        """
        decode = self._speaks()
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        vocabulary = self.opened.words.vocabulary
        rules, model = rules_of(vocabulary, decode), cast(Captioner, self.model)
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.inference_mode():
            drawn = draw(
                model, encoded.regions, encoded.mask, rules,
                samples=count, generator=generator, **how,
            )  # fmt: skip
        rows = zip(drawn.words[0].tolist(), drawn.length[0].tolist(), strict=True)
        said = [words[: length - (words[length - 1] == rules.end)] for words, length in rows]
        return [as_sentence(vocabulary.decode(words)) for words in said]

    def _speaks(self) -> DecodeConfig:
        decode = self.opened.header.recipe.decode
        if decode is None:
            raise BadConfig(
                "this run answers questions", location=self.opened.path, hint="Use `ask` with it."
            )
        return decode

    def caption(self, image: str | Path | EncodedImage, beam_size: int | None = None) -> Captioned:
        """Say what an image shows, with the recipe's number of beams or the one given."""
        decode = self._speaks()
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        vocabulary = self.opened.words.vocabulary
        rules, model = rules_of(vocabulary, decode), cast(Captioner, self.model)
        beam_size = beam_size or decode.beam_size
        (hypothesis,) = beam_search(
            model, encoded.regions, encoded.mask, rules, beam_size=beam_size
        )
        maps, sentinels = replay(model, encoded.regions, encoded.mask, [hypothesis.words], rules)
        texts = vocabulary.decode(hypothesis.words)
        return Captioned(
            as_sentence(texts),
            [Word(text, _row(maps[0], t), _share(sentinels[0], t)) for t, text in enumerate(texts)],
            hypothesis.log_probability,
            encoded.boxes,
        )


def load(path: str | Path, device: str = "auto") -> Run:
    """Open a run folder and put its best weights on a device. Raises BadRun."""
    return Run(open_run(Path(path)), choose_device(device))


def _row(attention: Tensor | None, t: int) -> np.ndarray | None:
    return None if attention is None else attention[t].cpu().numpy()


def _share(sentinel: Tensor | None, t: int) -> float | None:
    return None if sentinel is None else float(sentinel[t])
