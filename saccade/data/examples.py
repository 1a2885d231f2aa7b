"""Questions and captions as a training loop wants them: encoded once, compact, batched by image.

A question takes about 70 bytes (word ids, answer ids and counts, its image's row); the regions
stay in the memory-mapped store and are read once per image and batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from saccade.core.errors import BadData
from saccade.data.batch import CaptionBatch, VqaBatch
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS, Caption, Question, Split
from saccade.text.answers import AnswerList
from saccade.text.mirror import mirrored_caption, mirrored_question
from saccade.text.tokenizers import as_question
from saccade.text.vocabulary import Vocabulary

Target = Literal["shares", "scores", "best"]


class Ragged(NamedTuple):
    """Rows of different lengths in one flat array."""

    values: np.ndarray
    offsets: np.ndarray  # (n + 1,) where each row begins

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype: type[np.generic]) -> "Ragged":
        """Lay rows behind each other."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        flat = (value for row in rows for value in row)
        return cls(np.fromiter(flat, dtype, int(offsets[-1])), offsets.astype(np.uint32))

    def padded(self, rows: np.ndarray, fill: int) -> tuple[np.ndarray, np.ndarray]:
        """Some rows as a rectangle (n, max_length) of int64, and their lengths (n,)."""
        begin = self.offsets[rows].astype(np.int64)
        length = self.offsets[rows + 1].astype(np.int64) - begin
        place = np.arange(max(int(length.max(initial=1)), 1))
        real = place < length[:, None]
        location = np.minimum(begin[:, None] + place, max(len(self.values) - 1, 0))
        values = self.values[location] if len(self.values) else np.int64(fill)
        return np.where(real, values, fill).astype(np.int64), length

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places in `values` of some rows, one row behind the other, and where each begins."""
        begin = self.offsets[rows].astype(np.int64)
        length = self.offsets[rows + 1].astype(np.int64) - begin
        first = np.cumsum(length) - length
        return np.repeat(begin - first, length) + np.arange(length.sum()), first


class Regions(Protocol):
    """A feature store, as far as examples need it."""

    counts: np.ndarray  # (N,) real regions of each image; 0 where it could not be read

    @property
    def views(self) -> int: ...  # stored of each image

    def rows(self, ids: np.ndarray) -> np.ndarray: ...
    def views_of(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray: ...
    def mirrored(self, views: np.ndarray) -> np.ndarray: ...
    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Examples(Protocol):
    """A data set, as far as the batching below needs it."""

    image: np.ndarray

    def start_epoch(self, seed: int, epoch: int) -> None: ...
    def batch(self, rows: np.ndarray) -> VqaBatch | CaptionBatch: ...


class Views:
    """The stored view that each example shows: the plain one until an epoch has drawn others.

    In an epoch all examples of an image show one view, drawn at random, but for those whose words
    cannot be those of a mirrored image: they show the view before it, which is none.
    """

    def __init__(self, store: Regions, image: np.ndarray, mirrorable: np.ndarray | None) -> None:
        """`image (n,)` are rows of plain views. `mirrorable (n,)` says which examples have the
        words of a mirrored image; None of all examples, that they show the plain view always.
        """
        self.store, self.image, self.mirrorable = store, image, mirrorable
        self.rows, self.mirrored = image, np.zeros(len(image), bool)
        """The rows of the views, and whether they are mirrored."""

    def draw(self, seed: int, epoch: int) -> None:
        """Draw the views of an epoch, the same for equal seed and epoch."""
        if self.mirrorable is None:
            return
        random = np.random.default_rng((seed, epoch, 1))  # 1: not the order's numbers
        images, place = np.unique(self.image, return_inverse=True)
        view = random.integers(self.store.views, size=len(images))[place]
        view -= self.store.mirrored(view) & ~self.mirrorable
        rows = self.store.views_of(self.image, view)
        view[self.store.counts[rows] == 0] = 0  # that one could not be read
        self.rows = self.store.views_of(self.image, view).astype(self.image.dtype)
        self.mirrored = self.store.mirrored(view)

    def text(self, rows: np.ndarray) -> np.ndarray:
        """Places of some examples' words, where those of mirrored images follow all the others."""
        found: np.ndarray = rows + len(self.image) * self.mirrored[rows]
        return found

    @property
    def never_mirrored(self) -> int:
        """Examples without the words of a mirrored image."""
        return 0 if self.mirrorable is None else int((~self.mirrorable).sum())


Text = tuple[list[int], ...]
"""An example's words; of a question also its listed answers, and how many people gave each."""
ViewChoice = Literal["plain", "unmirrored", "all"]
"""Which stored views examples may show."""


class VqaExamples:
    """The questions of one split, encoded."""

    def __init__(  # noqa: PLR0913  each its own choice
        self,
        folder: DataFolder,
        split: Split,
        store: Regions,
        vocabulary: Vocabulary,
        answers: AnswerList,
        *,
        max_length: int | None = None,
        target: Target | None = None,
        only_answerable: bool = True,
        views: ViewChoice = "plain",
    ) -> None:
        """Encode a split. `target` says how right a listed answer is: its share of people, the
        accuracy it would earn, or 1 for the best answer; questions that no listed answer fits then
        teach nothing and are left out, if `only_answerable`. None keeps them. `left_out` counts
        what was left out.
        """
        self.target = target
        self.store, self.vocabulary = store, vocabulary
        table = folder.question_table(split)
        texts = table.column("text").to_pylist()

        def read(text: str) -> list[int]:
            words = vocabulary.encode(vocabulary.cut(as_question(text))[:max_length])
            return words or [vocabulary.unknown]

        words = [read(text) for text in texts]
        given = table.column("answers").to_pylist()
        people = np.fromiter((len(some) for some in given), np.int64, len(given))
        self.has_labels = bool((people[people > 0] == 1).all())  # one person answered each
        if target == "best":
            best = table.column("best_answer").to_pylist()
            given, people = [[answer] for answer in best], np.ones_like(people)
        encoded = [answers.encode(some) for some in given]
        rows = store.rows(table.column("image_id").to_numpy())
        has_features = store.counts[rows] > 0
        right = np.fromiter((bool(ids) for ids, _ in encoded), bool, len(encoded))
        teach = right if target and only_answerable else np.ones_like(right)
        keep = np.flatnonzero(has_features & teach)
        self.left_out = {
            "image without features": int((~has_features).sum()),
            "no listed answer": int((has_features & ~teach).sum()),
        }
        self.ids = table.column("id").to_numpy()[keep]
        self.image = rows[keep].astype(np.int32)
        pairs = [mirrored_question(texts[i], given[i]) for i in keep] if views == "all" else []
        others = [pair and (read(pair[0]), *answers.encode(pair[1])) for pair in pairs]
        plain = [(words[i], *encoded[i]) for i in keep]
        whole, mirrorable = _with_mirrored(plain, others, vocabulary.unknown)
        self.views = Views(store, self.image, None if views == "plain" else mirrorable)
        self.words = Ragged.of([text[0] for text in whole], np.int32)
        self.answers = Ragged.of([text[1] for text in whole], np.int32)
        self.counts = Ragged.of([text[2] for text in whole], np.uint8)
        self.people = np.maximum(people, 1).astype(np.uint8)[keep]

    def __len__(self) -> int:
        return len(self.ids)

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Draw the views of an epoch."""
        self.views.draw(seed, epoch)

    def batch(self, rows: np.ndarray) -> VqaBatch:
        """Put some questions side by side, each of their images once."""
        text = self.views.text(rows)
        words, length = self.words.padded(text, fill=self.vocabulary.pad)
        ids, _ = self.answers.padded(text, fill=0)
        counts, _ = self.counts.padded(text, fill=0)
        people = self.people[rows, None]
        right: np.ndarray = counts / people
        if self.target == "scores":
            # Official accuracy: of the others three must agree; a single person has no others.
            counted = (
                counts * np.minimum(1, np.maximum(counts - 1.0, 0) / 3)
                + (people - counts) * np.minimum(1, counts / 3)
            ) / people
            right = np.where(people == 1, right, counted)
        return VqaBatch(
            *_images(self.store, self.views.rows[rows]),
            question=torch.from_numpy(words),
            question_length=torch.from_numpy(length),
            answers=torch.from_numpy(ids),
            answer_weights=torch.from_numpy(right.astype(np.float32)),
        )


class CaptionExamples:
    """The captions of one split, encoded."""

    def __init__(
        self,
        folder: DataFolder,
        split: Split,
        store: Regions,
        vocabulary: Vocabulary,
        *,
        max_length: int | None = None,
        views: ViewChoice = "plain",
    ) -> None:
        """Encode a split, leaving out captions of more than `max_length` words."""
        self.store, self.vocabulary = store, vocabulary
        table = folder.caption_table(split)
        words = table.column("words").to_pylist()
        rows = store.rows(table.column("image_id").to_numpy())
        length = np.fromiter((len(row) for row in words), np.int64, len(words))
        has_features, fits = store.counts[rows] > 0, length <= (max_length or length.max(initial=0))
        keep = np.flatnonzero(has_features & fits)
        self.left_out = {
            "image without features": int((~has_features).sum()),
            "caption too long": int((has_features & ~fits).sum()),
        }
        self.ids = table.column("id").to_numpy()[keep]
        self.image = rows[keep].astype(np.int32)
        encode = vocabulary.encode_caption
        plain = [(encode(words[i]),) for i in keep]
        texts = table.column("text").to_pylist() if views == "all" else []
        told = [mirrored_caption(texts[i], words[i]) for i in keep] if texts else []
        others = [None if other is None else (encode(other),) for other in told]
        whole, mirrorable = _with_mirrored(plain, others, vocabulary.unknown)
        self.views = Views(store, self.image, None if views == "plain" else mirrorable)
        self.words = Ragged.of([text[0] for text in whole], np.int32)

    def __len__(self) -> int:
        return len(self.ids)

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Draw the views of an epoch."""
        self.views.draw(seed, epoch)

    def batch(self, rows: np.ndarray) -> CaptionBatch:
        """Put some captions side by side, longest first, each of their images once."""
        text = self.views.text(rows)
        length = self.words.offsets[text + 1] - self.words.offsets[text]
        order = np.argsort(-length.astype(np.int64), kind="stable")
        rows = rows[order]
        words, length = self.words.padded(text[order], fill=self.vocabulary.pad)
        return CaptionBatch(
            *_images(self.store, self.views.rows[rows]),
            caption=torch.from_numpy(words),
            caption_length=torch.from_numpy(length),
        )


class ImageExamples:
    """The images of one split, each with all its captions as references."""

    def __init__(self, captions: CaptionExamples) -> None:
        """Go through `captions` image by image; what was left out there is left out here."""
        self.captions, self.left_out, self.views = captions, captions.left_out, captions.views
        self.order = np.argsort(captions.image, kind="stable")
        self.image, first = np.unique(captions.image[self.order], return_index=True)
        self.first = np.append(first, len(self.order))

    def __len__(self) -> int:
        return len(self.image)

    def start_epoch(self, seed: int, epoch: int) -> None:
        """Draw the views of an epoch."""
        self.captions.start_epoch(seed, epoch)

    def batch(self, rows: np.ndarray) -> CaptionBatch:
        """All captions of some images."""
        own = [self.order[self.first[row] : self.first[row + 1]] for row in rows]
        return self.captions.batch(np.concatenate(own))


def _with_mirrored(
    plain: Sequence[Text], mirrored: Sequence[Text | None], unknown: int
) -> tuple[list[Text], np.ndarray]:
    """The texts of all examples, and behind them those of their mirrored images; and which examples
    have these `(n,)`: where one is none, or more of its words or answers are unknown, the plain one
    takes its place.
    """
    known = [
        other is not None
        and other[0].count(unknown) <= text[0].count(unknown)
        and all(sum(a) == sum(b) for a, b in zip(other[2:], text[2:], strict=True))
        for text, other in zip(plain, mirrored or [None] * len(plain), strict=True)
    ]
    behind = zip(plain, mirrored, known, strict=False)
    texts = [*plain, *(other if other and is_known else text for text, other, is_known in behind)]
    return texts, np.array(known, dtype=bool)


def _images(store: Regions, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Regions and mask of the images of some examples, each image once, cut to the most regions
    that one of them has; and the place among them of each example's image.
    """
    images, image = np.unique(rows, return_inverse=True)
    regions, mask = store.read(images)
    most = max(int(store.counts[images].max(initial=1)), 1)
    regions, mask = regions[:, :most], mask[:, :most]
    return torch.from_numpy(regions), torch.from_numpy(mask), torch.from_numpy(image)


def epoch_order(
    image: np.ndarray, samples_per_image: int | None, seed: int, epoch: int
) -> np.ndarray:
    """The order in which an epoch takes its examples, the same for equal seed and epoch.

    Up to `samples_per_image` examples of one image (all when none) stand side by side; which ones,
    and the order of these groups, is random.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(image))
    shuffled = shuffled[np.argsort(image[shuffled], kind="stable")]
    of = image[shuffled]
    first = np.r_[True, of[1:] != of[:-1]]
    place = np.arange(len(of)) - np.maximum.accumulate(np.where(first, np.arange(len(of)), 0))
    begins = first | (place % samples_per_image == 0) if samples_per_image else first
    group = np.cumsum(begins) - 1
    rank = random.permutation(int(begins.sum()))
    return shuffled[np.argsort(rank[group], kind="stable")]


def batches(
    examples: Examples,
    order: np.ndarray,
    batch_size: int,
    *,
    skip: int = 0,
    workers: int = 0,
    pin: bool = False,
    part: tuple[int, int] = (0, 1),
) -> Iterator[VqaBatch | CaptionBatch]:
    """Hand out `order` in batches; `skip` leaves out the first ones, to go on within an epoch.

    `part` is the number of a process among so many, which gets its `part_of` each batch.
    """
    if len(order) == 0:
        raise BadData("there is nothing to put into a batch", hint="Check the split's records.")
    begins = range(skip * batch_size, len(order), batch_size)
    rows = [part_of(order[begin : begin + batch_size], *part) for begin in begins]
    loader = DataLoader(
        cast("Dataset[np.ndarray]", rows),
        batch_size=None,
        collate_fn=cast(Any, examples.batch),  # so that a worker assembles a batch in one go
        num_workers=workers,
        pin_memory=pin,
        # Its own: a loader draws from the global one otherwise, and a resumed run differs.
        generator=torch.Generator(),
    )
    return iter(loader)


def part_of(rows: np.ndarray, number: int, parts: int) -> np.ndarray:
    """One of the parts of a batch, which stand behind each other and differ by one example at most.
    Where there are more parts than examples, the last ones are the first example again."""
    length, longer = divmod(len(rows), parts)
    begin = number * length + min(number, longer)
    return rows[begin : begin + length + (number < longer)] if number < len(rows) else rows[:1]


def in_reading_order(examples: Examples) -> np.ndarray:
    """Examples image by image, for evaluation."""
    return np.argsort(examples.image, kind="stable")


# Ground truth of a split, without which nothing can be scored on it.


def answered_questions(folder: DataFolder, split: Split) -> list[Question]:
    """The questions of a split. Raises BadData where there are none, or nobody answered them."""
    questions = folder.questions(split)
    if not questions or not questions[0].answers:
        raise _without_ground_truth(folder, split, "answers")
    return questions


def captioned_images(folder: DataFolder, split: Split) -> dict[int, list[Caption]]:
    """The captions of a split, by image. Raises BadData where there are none."""
    captions = folder.captions_by_image(split)
    if not captions:
        raise _without_ground_truth(folder, split, "captions")
    return captions


def _without_ground_truth(folder: DataFolder, split: Split, kind: str) -> BadData:
    counted = "questions" if kind == "answers" else kind
    others = [one for one in SPLITS if one != split and folder.about["splits"][one][counted]]
    hint = f"Choose another split with --split: {', '.join(others) or 'there is none'}."
    if split == "val":
        hint = (
            "Each epoch of training is scored on it: saccade prepare ... --hold-out 0.1 takes some "
            f"training images for it. To evaluate alone: {hint[0].lower()}{hint[1:]}"
        )
    return BadData(f"the {split} split has no {kind} to score by", location=folder.path, hint=hint)
