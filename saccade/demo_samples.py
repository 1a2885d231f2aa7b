"""Which questions and captions of the test pictures stand on the demonstration's page, and why.

Chosen by rule, never by hand: the first question of each kind, the first wrong answers, the first
captions and the worst one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saccade.data.folder import DataFolder
from saccade.data.records import Picture, Question, Split
from saccade.evaluation.attention_grounding import Box
from saccade.features.images import read_image
from saccade.inference.predictor import Looked, Run
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.viz.attention import heat_map, overlay
from saccade.viz.html import Asked, Described, Tile, embed

WIDE, NARROW = 220, 150
"""Pixels of a tile: of a glimpse, of a word."""


class Samples:
    """Makes the examples of one split; each picture is looked at once by each run."""

    def __init__(self, folder: DataFolder, split: Split) -> None:
        self.folder, self.split = folder, split
        self.pictures: Mapping[int, Picture] = {p.id: p for p in folder.pictures(split)}
        self._looked: dict[tuple[str, int], Looked] = {}

    def asked(
        self, run: Run, ids: Sequence[int], boxes: Mapping[int, Sequence[Box]]
    ) -> list[Asked]:
        """Ask some questions again, and keep where the run looked."""
        questions = {question.id: question for question in self.folder.questions(self.split)}
        return [self._ask(run, questions[id_], boxes.get(id_, ())) for id_ in ids]

    def first_of_each_kind(self) -> list[int]:
        """Ids of the first question of each type, each about another picture."""
        chosen: dict[str, Question] = {}
        for question in self.folder.questions(self.split):
            taken = {other.image_id for other in chosen.values()}
            if question.image_id not in taken:
                chosen.setdefault(question.question_type, question)
        return [question.id for question in chosen.values()]

    def first_wrong(self, said: Mapping[int, str], count: int) -> list[int]:
        """Ids of the first questions whose answer nobody gave, each of another type."""
        chosen: dict[str, int] = {}
        for question in self.folder.questions(self.split):
            if vqa_accuracy_of(said[question.id], question.answers) == 0:
                chosen.setdefault(question.question_type, question.id)
        return list(chosen.values())[:count]

    def described(self, run: Run, said: Mapping[int, str], count: int) -> list[Described]:
        """The first captions of the split, and then the worst one by its own BLEU-4."""
        people, ids = self.folder.captions_by_picture(self.split), list(said)
        references = [[caption.words for caption in people[id_]] for id_ in ids]
        bleu = corpus_bleu([said[id_].split() for id_ in ids], references).per_image
        worst = ids[int(np.argmin([scores[-1] for scores in bleu]))]
        chosen = {id_: "first of the test pictures" for id_ in ids[:count]}
        chosen[worst] = "worst of the test pictures"
        return [self._describe(run, id_, people[id_][0].text, why) for id_, why in chosen.items()]

    def _ask(self, run: Run, question: Question, boxes: Sequence[Box]) -> Asked:
        answer = run.ask(self._look(run, question.image_id), question.text)
        picture = self._pixels(question.image_id)
        tiles = [Tile("asked about" if boxes else "the picture", embed(picture, WIDE), boxes)]
        for number, weights in enumerate(() if answer.attention is None else answer.attention, 1):
            glow = _glow(picture, weights, answer.boxes)
            tiles.append(Tile(f"glimpse {number}", embed(glow, WIDE)))
        counts = Counter(question.answers).most_common(3)
        people = ", ".join(f"{text} ({count})" for text, count in counts)
        right = vqa_accuracy_of(answer.text, question.answers)
        return Asked(question.text, answer.text, answer.top[0][1], people, right, tiles)

    def _describe(self, run: Run, id_: int, person: str, why: str) -> Described:
        captioned = run.caption(self._look(run, id_))
        picture = self._pixels(id_)
        tiles = [Tile("the picture", embed(picture, NARROW))]
        for word in captioned.words:
            if word.attention is not None:
                glow = _glow(picture, word.attention, captioned.boxes)
                tiles.append(Tile(word.text, embed(glow, NARROW)))
        return Described(captioned.text, person, why, tiles)

    def _look(self, run: Run, id_: int) -> Looked:
        key = (str(run.opened.path), id_)
        if key not in self._looked:
            self._looked[key] = run.look(self._file(id_))
        return self._looked[key]

    def _pixels(self, id_: int) -> NDArray[np.uint8]:
        return np.asarray(read_image(self._file(id_)).permute(1, 2, 0).numpy())

    def _file(self, id_: int) -> Path:
        return self.folder.image_root / self.pictures[id_].file


def _glow(
    picture: NDArray[np.uint8], weights: NDArray[np.float32], boxes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    return overlay(picture, heat_map(weights, boxes, height, width))
