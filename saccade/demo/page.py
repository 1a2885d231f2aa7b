"""What the demonstration's page says: numbers into charts, samples into cards, honest notes."""

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import ImageRecord, Question, Split
from saccade.demo.backbone import NAME, Taught
from saccade.evaluation.attention_grounding import AttentionGrounding, Box
from saccade.features.images import read_image
from saccade.inference.predictor import EncodedImage, Run
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.models.catalogue import MODELS, Entry
from saccade.viz.attention import heat_map, overlay
from saccade.viz.html import Asked, Bar, Chart, Described, Report, Tile, address, embed

# Which questions and captions of the test images stand on the demonstration's page, and why.

WIDE, NARROW = 220, 150
"""Pixels of a tile: of a glimpse, of a word."""


class Samples:
    """Makes the examples of one split; each image is looked at once by each run."""

    def __init__(self, folder: DataFolder, split: Split) -> None:
        self.folder, self.split = folder, split
        self.images: Mapping[int, ImageRecord] = {p.id: p for p in folder.images(split)}
        self._looked: dict[tuple[str, int], EncodedImage] = {}

    def asked(
        self, run: Run, ids: Sequence[int], boxes: Mapping[int, Sequence[Box]]
    ) -> list[Asked]:
        """Ask some questions again, and keep where the run looked."""
        questions = {question.id: question for question in self.folder.questions(self.split)}
        return [self._ask(run, questions[id_], boxes.get(id_, ())) for id_ in ids]

    def first_of_each_kind(self) -> list[int]:
        """Ids of the first question of each type, each about another image."""
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
        people, ids = self.folder.captions_by_image(self.split), list(said)
        references = [[caption.words for caption in people[id_]] for id_ in ids]
        bleu = corpus_bleu([said[id_].split() for id_ in ids], references).per_image
        worst = ids[int(np.argmin([scores[-1] for scores in bleu]))]
        chosen = {id_: "first of the test images" for id_ in ids[:count]}
        chosen[worst] = "worst of the test images"
        return [self._describe(run, id_, people[id_][0].text, why) for id_, why in chosen.items()]

    def _ask(self, run: Run, question: Question, boxes: Sequence[Box]) -> Asked:
        answer = run.ask(self._look(run, question.image_id), question.text)
        image = self._pixels(question.image_id)
        tiles = [Tile("asked about" if boxes else "the image", embed(image, WIDE), boxes)]
        for number, weights in enumerate(() if answer.attention is None else answer.attention, 1):
            glow = _glow(image, weights, answer.boxes)
            tiles.append(Tile(f"glimpse {number}", embed(glow, WIDE)))
        counts = Counter(question.answers).most_common(3)
        people = ", ".join(f"{text} ({count})" for text, count in counts)
        right = vqa_accuracy_of(answer.text, question.answers)
        return Asked(question.text, answer.text, answer.top[0][1], people, right, tiles)

    def _describe(self, run: Run, id_: int, person: str, why: str) -> Described:
        captioned = run.caption(self._look(run, id_))
        image = self._pixels(id_)
        tiles = [Tile("the image", embed(image, NARROW))]
        for word in captioned.words:
            if word.attention is not None:
                glow = _glow(image, word.attention, captioned.boxes)
                tiles.append(Tile(word.text, embed(glow, NARROW)))
        return Described(captioned.text, person, why, tiles)

    def _look(self, run: Run, id_: int) -> EncodedImage:
        key = (str(run.opened.path), id_)
        if key not in self._looked:
            self._looked[key] = run.encode(self._file(id_))
        return self._looked[key]

    def _pixels(self, id_: int) -> NDArray[np.uint8]:
        return np.asarray(read_image(self._file(id_)).permute(1, 2, 0).numpy())

    def _file(self, id_: int) -> Path:
        return self.folder.image_root / self.images[id_].file


def _glow(
    image: NDArray[np.uint8], weights: NDArray[np.float32], boxes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    return overlay(image, heat_map(weights, boxes, height, width))


WRONG, CAPTIONS = 3, 3
"""So many examples, at most."""


class Measured(NamedTuple):
    """All numbers that the page shows."""

    taught: Taught
    vqa: Mapping[str, Any]
    """As `evaluate` returns them."""
    caption: Mapping[str, Any]
    grounding: AttentionGrounding | None
    """None where the model that answers does not attend."""


class Made(NamedTuple):
    """What the demonstration has made, and where."""

    out: Path
    runs: Mapping[str, Run]
    """By task: vqa, caption."""
    answers: Mapping[int, str]
    """What was answered to each test question, by id."""
    captions: Mapping[int, str]
    """What was said of each test image, by id."""
    boxes: Mapping[int, Sequence[Box]]


def build_report(made: Made, samples: Samples, measured: Measured) -> Report:
    """Put the page together; `stages` are left for the end, when their price is known."""
    first, wrong = samples.first_of_each_kind(), samples.first_wrong(made.answers, WRONG)
    asked = samples.asked(made.runs["vqa"], first, made.boxes)
    return Report(
        lead="One answers questions about an image, one describes it. Both learned on this "
        f"machine, just now, from {measured.taught.images:,} drawn images; everything below "
        f"is about {len(samples.images):,} images that they had never seen.",
        headlines=_headlines(measured),
        asked=asked,
        wrong=samples.asked(made.runs["vqa"], wrong, made.boxes),
        described=samples.described(made.runs["caption"], made.captions, CAPTIONS),
        charts=_charts(measured),
        curves=[_curves(made, name) for name in made.runs],
        stages=(),
        notes=_notes(made, measured),
        commands=_commands(made.out, samples.images[next(iter(made.captions))], asked),
        versions=" · ".join(f"{name} {version(name)}" for name in ("saccade", "torch", "timm")),
    )


def summary(measured: Measured) -> list[str]:
    """The three results, a line each."""
    vqa, caption, grounding = measured.vqa, measured.caption, measured.grounding
    lines = [
        f"Answers: {vqa['accuracy']:.1f} of 100 (official VQA accuracy); the question alone "
        f"{_prior(vqa, 'question_only'):.1f}, always the commonest answer "
        f"{_prior(vqa, 'most_frequent_answer'):.1f}, the wrong image "
        f"{_prior(vqa, 'shuffled_images'):.1f}",
        f"Captions: BLEU-4 {caption['bleu_4']:.3f}; one caption for every image "
        f"{_prior(caption, 'constant_caption'):.3f}, one of similar images "
        f"{_prior(caption, 'nearest_neighbour'):.3f}",
    ]
    if grounding is not None:
        lines.append(
            f"Attention: lands on what is asked about in {grounding.landed:.0%} of "
            f"{grounding.questions:,} questions; by chance {grounding.landed_by_chance:.0%}"
        )
    return lines


def _headlines(measured: Measured) -> list[Bar]:
    vqa, grounding = measured.vqa, measured.grounding
    alone = _prior(vqa, "question_only")
    bars = [
        Bar(
            f"of 100 points for answers (official VQA accuracy). Without the image: {alone:.1f}.",
            vqa["accuracy"] / 100,
            f"{vqa['accuracy']:.1f}",
        ),
        Bar(
            "BLEU-4 for captions, of 1. The best single caption for all images: "
            f"{_prior(measured.caption, 'constant_caption'):.2f}.",
            measured.caption["bleu_4"],
            f"{measured.caption['bleu_4']:.2f}",
        ),
    ]
    if grounding is not None:
        landed = (
            "of questions: attention lands on the very shape asked about. By chance: "
            f"{grounding.landed_by_chance:.0%}."
        )
        bars.append(Bar(landed, grounding.landed, f"{grounding.landed:.0%}"))
    return bars


def _charts(measured: Measured) -> list[Chart]:
    vqa, caption = measured.vqa, measured.caption
    kinds = sorted(vqa["per_question_type"].items(), key=lambda item: -item[1])
    return [
        Chart(
            "Answers",
            f"Official VQA accuracy on {vqa['questions']:,} test questions, 0 to 100. The question "
            "alone: a classifier that reads the question and sees no image. The wrong image, "
            "the wrong question: the model itself, with these exchanged among the test questions.",
            [
                _points("the model", vqa["accuracy"], ours=True),
                _points("the wrong image", _prior(vqa, "shuffled_images")),
                _points("the wrong question", _prior(vqa, "shuffled_questions")),
                _points("the question alone", _prior(vqa, "question_only")),
                _points("commonest answer", _prior(vqa, "most_frequent_answer")),
            ],
        ),
        Chart(
            "Answers by how the question begins",
            "The same accuracy. Of questions with two answers, half are right by luck.",
            [_points(f"{kind} …", share, ours=True) for kind, share in kinds],
        ),
        Chart(
            "Captions",
            f"Corpus BLEU on {caption['images']:,} test images, 0 to 1, against five captions "
            f"each; beam search with {caption['beams']} beams. The best caption for every image "
            f"alike is “{caption['baselines']['constant_caption']['caption']}”; similar images "
            "lend the training caption that most of their captions agree with.",
            [
                *(
                    _share(f"BLEU-{n}", caption[f"bleu_{n}"], ours=True, digits=2)
                    for n in (1, 2, 3, 4)
                ),
                *(
                    _share(f"BLEU-4, {says}", _prior(caption, name), digits=2)
                    for name, says in (
                        ("nearest_neighbour", "similar images"),
                        ("shuffled_images", "the wrong image"),
                        ("constant_caption", "one for all"),
                    )
                ),
            ],
        ),
        *_attention(measured.grounding),
    ]


def _attention(grounding: AttentionGrounding | None) -> list[Chart]:
    if grounding is None:
        return []
    return [
        Chart(
            "Attention",
            f"{grounding.questions:,} test questions about shapes whose place is known. Lands: "
            "the cell with most attention has its centre in a shape's box. Inside: share of all "
            "attention that lies in the boxes.",
            [
                _share("lands", grounding.landed, ours=True),
                _share("lands, by chance", grounding.landed_by_chance),
                _share("inside", grounding.inside, ours=True),
                _share("inside, by chance", grounding.inside_by_chance),
            ],
        )
    ]


def _prior(scores: Mapping[str, Any], name: str) -> float:
    """What a rung of the prior ladder reaches, in the unit of the main score."""
    value: float = scores["baselines"][name][TASK_INFO[scores["task"]].default_metric]
    return value


def _points(name: str, value: float, ours: bool = False) -> Bar:
    return Bar(name, value / 100, f"{value:.1f}", ours)


def _share(name: str, value: float, ours: bool = False, digits: int | None = None) -> Bar:
    return Bar(name, value, f"{value:.0%}" if digits is None else f"{value:.{digits}f}", ours)


def _curves(made: Made, name: str) -> Tile:
    path = made.out / "runs" / name / "curves.png"
    return Tile(_entry(made.runs[name]).title, address(path.read_bytes(), "png"))


def _entry(run: Run) -> Entry:
    return MODELS[run.opened.header.recipe.model.kind]


def _notes(made: Made, measured: Measured) -> list[str]:
    taught = measured.taught
    sizes = {n: sum(p.numel() for p in run.model.parameters()) for n, run in made.runs.items()}
    vqa, caption = (_entry(made.runs[name]) for name in ("vqa", "caption"))
    return [
        "The images, questions, answers and captions were drawn and written by a program, from "
        "one seed, into the files that VQA v2 and Karpathy's captions come in, and read back by "
        "the readers of those. For every kind of question each answer is about equally often "
        "right, so that guessing from the question does not pay.",
        f"The eye is {NAME.removeprefix('timm:')}, one of timm's smallest networks. Nothing could "
        f"be downloaded, so it was first taught, for {taught.epochs} epochs and from the training "
        "images alone, to name what each cell of an 8 x 8 grid shows; of the cells with a shape "
        f"in validation images it names kind and colour of {taught.shapes:.0%} rightly. Then it "
        "was frozen. With real images this part is played by a network trained on photos.",
        f"The two models are {vqa.title} and {caption.title} as published, with fewer weights "
        f"({sizes['vqa']:,} and {sizes['caption']:,}) and with less dropout, the second without a "
        "penalty for looking at some places more than at others.",
        "They were never told where anything is. They learned from questions with answers, and "
        "from captions, alone; where they look is their own invention. Bright places show what a "
        "model used; they do not prove why it said what it said.",
        "The best epoch was chosen on validation images; the test images above were used once.",
        "This is a small world of five shapes and six colours. With photos expect far less: "
        f"published are, for the first, {vqa.published}; for the second, {caption.published}.",
    ]


def _commands(
    out: Path, image_record: ImageRecord, asked: Sequence[Asked]
) -> list[tuple[str, str]]:
    """Lines that work as they stand, from the folder that the demonstration was started in."""
    image = _typed(out / "shapes" / image_record.file)
    vqa, caption = (_typed(out / "runs" / name) for name in ("vqa", "caption"))
    question = shlex.quote(asked[0].question)
    program = _program()
    own = [
        f"{program} list sources",
        f"{program} prepare karpathy --root FOLDER --out mine",
        f"{program} extract mine --backbone timm:resnet101 --size 256 --resize squash",
        f"{program} train show-attend-tell --data mine --out runs/mine",
        f"{program} evaluate runs/mine",
    ]
    return [
        ("Ask something else.", f"{program} ask {vqa} {image} {question}"),
        ("Describe an image.", f"{program} caption {caption} {image}"),
        (
            "Draw where a model looks, for an answer or word by word.",
            f"{program} explain {vqa} {image} {question} --out looked.png\n"
            f"{program} explain {caption} {image} --out words.png",
        ),
        (
            "Begin with data of your own: any source that is listed, such as Flickr8k with "
            "Karpathy's splits.",
            "\n".join(own),
        ),
    ]


def _program() -> str:
    """How `saccade` is called here: its name where the shell finds it, else its path."""
    beside = Path(sys.executable).with_name("saccade")
    found = shutil.which("saccade")
    if found and beside.exists() and Path(found).samefile(beside):
        return "saccade"
    return _typed(beside) if beside.exists() else "saccade"


def _typed(path: Path) -> str:
    """A path as one would type it from here."""
    near = os.path.relpath(path)
    return shlex.quote(str(path.absolute()) if near.startswith("..") else near)
