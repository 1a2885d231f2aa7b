"""Lists of images and of questions, as `Run` takes them: pairs of the two, and batches with a bar.

Shapes: N questions.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numpy as np

from saccade.core.errors import BadConfig
from saccade.features.images import ImageInput
from saccade.inference.progress import prediction_bar

if TYPE_CHECKING:
    from saccade.inference.predictor import EncodedImage

Found = TypeVar("Found")


class Asked(NamedTuple):
    """Images, and what is asked about them."""

    images: Sequence["ImageInput | EncodedImage"]
    """Each once, however often it is asked about."""
    image: np.ndarray
    """(N,) the place of each question's image."""
    questions: list[str]
    """N of them; empty texts where nothing is asked."""
    is_list: bool
    """Whether a list was given."""


def pair(images: object, questions: object = "") -> Asked:
    """One image or a list of them, with one question or a list of them.

    One question is asked about all images, several about the only one, or each about the image in
    its place. Raises BadConfig for an empty list, other numbers, and a question that is no text.
    """
    all_images, images_listed = _members(images, "images")
    texts, texts_listed = _members(questions, "questions")
    if len(all_images) != len(texts) and len(all_images) > 1 and len(texts) > 1:
        hint = "Give one question, or as many as there are images."
        raise BadConfig(f"there are {len(all_images)} images and {len(texts)} questions", hint=hint)
    for text in texts:
        if not isinstance(text, str):
            hint = "Give it as text, or several as a list of texts."
            raise BadConfig(f"a question cannot be of the type {type(text).__name__}", hint=hint)
    asked = cast("list[str]", texts if len(texts) > 1 else texts * len(all_images))
    place, distinct, rows = dict[object, int](), list[object](), list[int]()
    for one in all_images if len(all_images) > 1 else all_images * len(asked):
        key = str(one) if isinstance(one, str | PathLike) else id(one)
        if key not in place:
            place[key] = len(place)
            distinct.append(one)
        rows.append(place[key])
    return Asked(
        cast("list[ImageInput]", distinct), np.array(rows), asked, images_listed or texts_listed
    )


def _members(given: object, name: str) -> tuple[list[object], bool]:
    """The members of a list, or what is none as the only one; and whether it is a list."""
    if not (isinstance(given, list) or type(given) is tuple):  # an encoded image is a tuple, too
        return [given], False
    if not given:
        raise BadConfig(f"the list of {name} is empty", hint="Give one at least.")
    return list(cast("Sequence[object]", given)), True


def in_batches(
    asked: Asked,
    size: int,
    progress: bool | None,
    encode: Callable[[Sequence["ImageInput | EncodedImage"]], list["EncodedImage"]],
    predict: Callable[[list["EncodedImage"], list[str]], list[Found]],
) -> list[Found]:
    """What `predict` gives for every question, in their order.

    `size` images at once are encoded, with all that is asked about them. By default (None) there is
    a bar where there are several batches.
    """
    order, count = np.argsort(asked.image, kind="stable"), len(asked.images)
    begins = [*range(0, count, size), count]
    found = dict[int, Found]()
    with prediction_bar(len(order), 0, progress if len(begins) > 2 else bool(progress)) as bar:
        for begin, end in pairwise(begins):
            encoded = encode(asked.images[begin:end])
            places = order[slice(*np.searchsorted(asked.image[order], (begin, end)))].tolist()
            images = [encoded[asked.image[n] - begin] for n in places]
            some = predict(images, [asked.questions[n] for n in places])
            found |= zip(places, some, strict=True)
            bar.advance(bar.task_ids[0], len(places))
    return [found[n] for n in range(len(order))]
