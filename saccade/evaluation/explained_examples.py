"""The predictions whose maps `faithfulness` measures: answers to questions, and words of captions,
each with the same about another image.

Shapes: B examples, R regions, D numbers per region.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.core.progress import track
from saccade.data.batch import Batch, CaptionBatch, VqaBatch
from saccade.data.records import Split
from saccade.evaluation.blind_answers import OtherImages
from saccade.experiment import Experiment, question_examples
from saccade.inference.answers import GeneratedCaption
from saccade.inference.explain import encode_stored
from saccade.inference.predictor import EncodedImage, Run, stack_images
from saccade.text.tokenizers import as_question

MEAN_IMAGES = 200
"""Training images, at most, whose mean region stands in for a hidden one."""
AT_ONCE = 32
"""Questions that are explained together, or images that are captioned."""
WORDS = 3
"""Words that are drawn of each caption."""


class Explained(NamedTuple):
    """Predictions to be explained, and what their maps are compared with."""

    batch: Batch
    """Questions; or captions up to the word that is explained, longest first."""
    other: Batch
    """The same of other images."""
    ids: list[int]
    """Of questions, or of captioned images."""
    images: list[int]
    words: list[list[str]]
    """Of the question, or of the caption up to the word."""
    boxes: NDArray[np.float32]  # (B, R, 4)


def mean_of_training(run: Run, experiment: Experiment, seed: int) -> tuple[Tensor, str]:
    """The mean region `(D,)` of training images, at most `MEAN_IMAGES` drawn with `seed`, and which
    images these are. Where the data has no training images, it is of all.
    """
    store = experiment.store
    images = experiment.folder.images("train")
    kind = "training images" if images else "images"
    ids = np.array([one.id for one in images or experiment.folder.images()])
    ids = ids[store.counts[store.rows(ids)] > 0]
    chosen = np.sort(ids[_drawn(len(ids), MEAN_IMAGES, seed)]).tolist()
    sums, count = torch.zeros(0, device=run.device), 0
    for start in range(0, len(chosen), AT_ONCE):
        for image in encode_stored(run, store, chosen[start : start + AT_ONCE]):
            assert image is not None  # it has features
            rows = image.regions[0].double()
            sums = rows.sum(dim=0) + (sums if count else 0)
            count += len(rows)
    return (sums / count).float(), f"{len(chosen)} {kind}"


def _drawn(number: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Some of `number` places, by lot, in rising order."""
    return np.sort(np.random.default_rng(seed).permutation(number)[:limit])


def questions(
    run: Run,
    experiment: Experiment,
    split: Split,
    limit: int | None,
    seed: int,
    left_out: dict[str, int],
) -> Iterator[Explained]:
    """Questions of a split, drawn by lot, with the same about other images."""
    folder, store = experiment.folder, experiment.store
    asked = folder.questions(split)
    texts = {one.id: one.text for one in asked}
    images = np.array([one.image_id for one in asked], np.int64)
    exchanged = replace(experiment, store=OtherImages(store, images, seed))
    examples, others = (
        question_examples(one, split, only_answerable=False) for one in (experiment, exchanged)
    )
    left_out["without_features"] = examples.left_out["image without features"]
    chosen = _drawn(len(examples), limit, seed)
    order = chosen[np.argsort(examples.image[chosen], kind="stable")]
    cut = run.opened.words.vocabulary.cut
    cells = run.encoder.spec.boxes if run.encoder else None
    for start in track(range(0, len(order), AT_ONCE), "hiding regions"):
        rows = order[start : start + AT_ONCE]
        batch, other = (_encoded(run, one.batch(rows)) for one in (examples, others))
        ids, own = examples.ids[rows].tolist(), examples.image[rows]
        words = [cut(as_question(texts[id_])) for id_ in ids]
        yield Explained(batch, other, ids, store.ids[own].tolist(), words, store.boxes(own, cells))


@torch.inference_mode()
def _encoded(run: Run, batch: VqaBatch) -> Batch:
    """Questions as the run's model takes them, without people's answers."""
    return run.encode_batch(replace(batch, answers=None, answer_weights=None).to(run.device))


def caption_words(
    run: Run,
    experiment: Experiment,
    split: Split,
    limit: int | None,
    seed: int,
    left_out: dict[str, int],
) -> Iterator[Explained]:
    """Words of the captions that the run writes of a split's images, drawn by lot, with the same
    captions of other images.
    """
    store = experiment.store
    every = np.array([one.id for one in experiment.folder.images(split)], np.int64)
    ids = every[store.counts[store.rows(every)] > 0] if len(every) else every
    left_out["without_features"] = len(every) - len(ids)
    others = OtherImages(store, every, seed)
    chosen = ids[_drawn(len(ids), limit, seed)].tolist()
    for start in track(range(0, len(chosen), AT_ONCE), "hiding regions"):
        part = chosen[start : start + AT_ONCE]
        own, other = (
            [one for one in encode_stored(run, each, part) if one is not None]
            for each in (store, others)
        )
        captions = run.captions(own)
        explained = _prefixes(run, part, captions, seed)
        left_out["no_words"] += sum(not one.words for one in captions)
        if explained:
            yield _of_captions(run, part, own, other, captions, explained)


def _prefixes(
    run: Run, ids: Sequence[int], captions: Sequence[GeneratedCaption], seed: int
) -> list[tuple[int, int]]:
    """Drawn words of captions, as the row of the image and the words up to it: the longest first,
    for so stand captions in a batch.
    """
    found = list[tuple[int, int]]()
    for row, (id_, caption) in enumerate(zip(ids, captions, strict=True)):
        random = np.random.default_rng((seed, id_))
        found += [(row, n + 1) for n in random.permutation(len(caption.words))[:WORDS].tolist()]
    return sorted(found, key=lambda one: -one[1])


def _of_captions(
    run: Run,
    ids: Sequence[int],
    own: Sequence[EncodedImage],
    other: Sequence[EncodedImage],
    captions: Sequence[GeneratedCaption],
    explained: Sequence[tuple[int, int]],
) -> Explained:
    vocabulary, rows = run.opened.words.vocabulary, [row for row, _ in explained]
    texts = [[word.text for word in captions[row].words[:length]] for row, length in explained]
    # The end is left out: the last word is the one that is explained.
    words = [torch.tensor(vocabulary.encode_caption(some)[:-1]) for some in texts]
    length = torch.tensor([len(some) for some in words])
    padded = pad_sequence(words, batch_first=True, padding_value=vocabulary.pad)
    batch, exchanged = (
        CaptionBatch(
            *stack_images(images),
            image=torch.tensor(rows, device=run.device),
            caption=padded.to(run.device),
            caption_length=length.to(run.device),
        )
        for images in (own, other)
    )
    boxes = np.zeros((len(own), batch.regions.shape[1], 4), np.float32)
    for place, image in zip(boxes, own, strict=True):
        place[: len(image.boxes)] = image.boxes
    of = [ids[row] for row in rows]
    return Explained(batch, exchanged, of, of, texts, boxes[rows])
