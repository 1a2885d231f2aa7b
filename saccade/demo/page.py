"""The demonstration's page: scores as charts, examples as cards, notes on how it was made."""

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
from saccade.data.records import Question, Split
from saccade.demo.backbone import NAME, TrainedBackbone
from saccade.evaluation.attention_grounding import AttentionGrounding, Box
from saccade.features.images import read_image
from saccade.inference.explain import heat_of
from saccade.inference.predictor import EncodedImage, Run
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.catalogue import METRICS
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.models.catalogue import MODELS, Entry
from saccade.viz.attention import overlay
from saccade.viz.html import AnswerCard, Bar, CaptionCard, Chart, Report, Tile, address, embed

WIDE, NARROW = 220, 150
"""Pixels of a tile: of a glimpse, of a word."""
WRONG, CAPTIONS = 3, 3
"""Examples, at most."""


class Samples:
    """Examples of one split; each run encodes each image once."""

    def __init__(self, folder: DataFolder, split: Split) -> None:
        self.files = {one.id: folder.image_root / one.file for one in folder.images(split)}
        self.questions = {question.id: question for question in folder.questions(split)}
        self.human_captions = folder.captions_by_image(split)
        self._encoded: dict[tuple[Path, int], EncodedImage] = {}

    def first_of_each_kind(self) -> list[int]:
        """Ids of the first question of each type, each about another image."""
        found: dict[str, Question] = {}
        for question in self.questions.values():
            if question.image_id not in {other.image_id for other in found.values()}:
                found.setdefault(question.question_type, question)
        return [question.id for question in found.values()]

    def first_wrong(self, answers: Mapping[int, str]) -> list[int]:
        """Ids of the first questions whose answer nobody gave, each of another type."""
        found: dict[str, int] = {}
        for id_, question in self.questions.items():
            if vqa_accuracy_of(answers[id_], question.answers) == 0:
                found.setdefault(question.question_type, id_)
        return list(found.values())[:WRONG]

    def answer_card(self, run: Run, id_: int, boxes: Sequence[Box]) -> AnswerCard:
        """A question, answered again so that the attention maps are known."""
        question = self.questions[id_]
        answer = run.ask(self._encode(run, question.image_id), question.text)
        image = self._pixels(question.image_id)
        tiles = [Tile("asked about" if boxes else "the image", embed(image, WIDE), boxes)]
        for number, weights in enumerate(() if answer.attention is None else answer.attention, 1):
            drawn = overlay(image, heat_of(run, weights, answer.boxes, image))
            tiles.append(Tile(f"glimpse {number}", embed(drawn, WIDE)))
        counts = Counter(question.answers).most_common(3)
        people = ", ".join(f"{text} ({count})" for text, count in counts)
        accuracy = vqa_accuracy_of(answer.text, question.answers)
        return AnswerCard(question.text, answer.text, answer.top[0][1], people, accuracy, tiles)

    def caption_cards(self, run: Run, captions: Mapping[int, str]) -> list[CaptionCard]:
        """The first captions of the split, and then the worst one by its own BLEU-4."""
        ids = list(captions)
        references = [[caption.words for caption in self.human_captions[id_]] for id_ in ids]
        bleu = corpus_bleu([captions[id_].split() for id_ in ids], references).per_image
        worst = ids[int(np.argmin([scores[-1] for scores in bleu]))]
        selected = dict.fromkeys(ids[:CAPTIONS], "first of the test images")
        selected[worst] = "worst of the test images"
        return [self._caption_card(run, id_, reason) for id_, reason in selected.items()]

    def _caption_card(self, run: Run, id_: int, reason: str) -> CaptionCard:
        captioned, image = run.caption(self._encode(run, id_)), self._pixels(id_)
        tiles = [Tile("the image", embed(image, NARROW))]
        for word in captioned.words:
            if word.attention is not None:
                drawn = overlay(image, heat_of(run, word.attention, captioned.boxes, image))
                tiles.append(Tile(word.text, embed(drawn, NARROW)))
        return CaptionCard(captioned.text, self.human_captions[id_][0].text, reason, tiles)

    def _encode(self, run: Run, id_: int) -> EncodedImage:
        key = (run.opened.path, id_)
        if key not in self._encoded:
            self._encoded[key] = run.encode(self.files[id_])
        return self._encoded[key]

    def _pixels(self, id_: int) -> NDArray[np.uint8]:
        return np.asarray(read_image(self.files[id_]).permute(1, 2, 0).numpy())


class Results(NamedTuple):
    """All that the demonstration made; mappings by task have "vqa" and "caption"."""

    out: Path
    backbone: TrainedBackbone
    runs: Mapping[str, Run]
    scores: Mapping[str, Mapping[str, Any]]
    """As `evaluate` returns them."""
    predictions: Mapping[str, Mapping[int, str]]
    """Answers by question id, captions by image id, of the test images."""
    boxes: Mapping[int, Sequence[Box]]
    """Of what a question is about, by question id."""
    grounding: AttentionGrounding | None
    """None where the model that answers does not attend."""


def build_report(results: Results, samples: Samples) -> Report:
    """Put the page together; `stages` are added at the end, when their price is known."""

    def answer_cards(ids: Sequence[int]) -> list[AnswerCard]:
        return [
            samples.answer_card(results.runs["vqa"], id_, results.boxes.get(id_, ())) for id_ in ids
        ]

    answers = answer_cards(samples.first_of_each_kind())
    return Report(
        lead="One answers questions about an image, one describes it. Both were trained on this "
        f"machine, just now, on {results.backbone.images:,} drawn images; all below is about "
        f"{len(samples.files):,} test images.",
        headlines=_headlines(results),
        answers=answers,
        wrong_answers=answer_cards(samples.first_wrong(results.predictions["vqa"])),
        captions=samples.caption_cards(results.runs["caption"], results.predictions["caption"]),
        charts=_charts(results),
        curves=[_curves(results, name) for name in results.runs],
        stages=(),
        notes=_notes(results),
        commands=_commands(
            results.out,
            samples.files[next(iter(results.predictions["caption"]))],
            answers[0].question,
        ),
        versions=" · ".join(f"{name} {version(name)}" for name in ("saccade", "torch", "timm")),
    )


def summary(results: Results) -> list[str]:
    """The results, a line each."""
    (vqa, caption), grounding = results.scores.values(), results.grounding
    lines = [
        f"Answers: official VQA accuracy {_text(vqa)}; question only "
        f"{_text(vqa, 'question_only')}, most frequent answer "
        f"{_text(vqa, 'most_frequent_answer')}, shuffled images {_text(vqa, 'shuffled_images')}",
        f"Captions: BLEU-4 {_text(caption)}; one caption for all images "
        f"{_text(caption, 'constant_caption')}, captions of similar images "
        f"{_text(caption, 'nearest_neighbour')}",
    ]
    if grounding is not None:
        lines.append(
            f"Attention: on what is asked about in {grounding.landed:.0%} of "
            f"{grounding.questions:,} questions; by chance {grounding.landed_by_chance:.0%}"
        )
    return lines


def _headlines(results: Results) -> list[Bar]:
    (vqa, caption), grounding = results.scores.values(), results.grounding
    alone, constant = _text(vqa, "question_only"), _text(caption, "constant_caption")
    bars = [
        _bar(f"official VQA accuracy of answers. Without the image: {alone}.", vqa),
        _bar(f"BLEU-4 of captions. The best single caption for all images: {constant}.", caption),
    ]
    if grounding is not None:
        text = (
            "of questions: most attention is on the very shape asked about. By chance: "
            f"{grounding.landed_by_chance:.0%}."
        )
        bars.append(_share(text, grounding.landed))
    return bars


def _charts(results: Results) -> list[Chart]:
    (vqa, caption), grounding = results.scores.values(), results.grounding
    kinds = sorted(vqa["per_question_type"].items(), key=lambda item: -item[1])
    digits = METRICS["accuracy"].digits
    charts = [
        Chart(
            "Answers",
            f"Official VQA accuracy (%) on {vqa['questions']:,} test questions. Question only: a "
            "classifier that reads the question without the image. Shuffled images, shuffled "
            "questions: the model itself, with these exchanged among the test questions.",
            [
                _bar("the model", vqa, ours=True),
                _bar("shuffled images", vqa, "shuffled_images"),
                _bar("shuffled questions", vqa, "shuffled_questions"),
                _bar("question only", vqa, "question_only"),
                _bar("most frequent answer", vqa, "most_frequent_answer"),
            ],
        ),
        Chart(
            "Answers by how the question begins",
            "The same accuracy. Of questions with two answers, half are right by chance.",
            [
                Bar(f"{kind} …", value / 100, f"{value:.{digits}f}", ours=True)
                for kind, value in kinds
            ],
        ),
        Chart(
            "Captions",
            f"Corpus BLEU (points) on {caption['images']:,} test images, five captions each; beam "
            f"search with {caption['beam_size']} beams. The best single caption for all images is "
            f"“{caption['baselines']['constant_caption']['caption']}”; from similar images comes "
            "the training caption that most of their captions agree with.",
            [
                *(
                    _bar(METRICS[name].title, caption, metric=name, ours=True)
                    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
                ),
                _bar("BLEU-4, similar images", caption, "nearest_neighbour"),
                _bar("BLEU-4, shuffled images", caption, "shuffled_images"),
                _bar("BLEU-4, one for all", caption, "constant_caption"),
            ],
        ),
    ]
    if grounding is not None:
        bars = [
            _share("pointing game", grounding.landed, ours=True),
            _share("pointing game, by chance", grounding.landed_by_chance),
            _share("inside", grounding.inside, ours=True),
            _share("inside, by chance", grounding.inside_by_chance),
        ]
        description = (
            f"{grounding.questions:,} test questions about shapes whose place is known. Pointing "
            "game: the cell with most attention has its centre in a shape's box. Inside: share of "
            "all attention that lies in the boxes."
        )
        charts.append(Chart("Attention", description, bars))
    return charts


def _value(
    scores: Mapping[str, Any], baseline: str | None, metric: str | None
) -> tuple[str, float]:
    """A metric, by default the task's, and the stored score of the model or of a baseline."""
    metric = metric or TASK_INFO[scores["task"]].default_metric
    return metric, (scores["baselines"][baseline] if baseline else scores)[metric]


def _text(scores: Mapping[str, Any], baseline: str | None = None) -> str:
    metric, value = _value(scores, baseline, None)
    return METRICS[metric].shown(value)


def _bar(
    name: str,
    scores: Mapping[str, Any],
    baseline: str | None = None,
    *,
    metric: str | None = None,
    ours: bool = False,
) -> Bar:
    metric, value = _value(scores, baseline, metric)
    line = METRICS[metric]  # of all metrics here, 100 is the most
    return Bar(name, line.scale * value / 100, f"{line.scale * value:.{line.digits}f}", ours)


def _share(name: str, value: float, ours: bool = False) -> Bar:
    return Bar(name, value, f"{value:.0%}", ours)


def _curves(results: Results, name: str) -> Tile:
    path = results.out / "runs" / name / "curves.png"
    return Tile(_entry(results.runs[name]).title, address(path.read_bytes(), "png"))


def _entry(run: Run) -> Entry:
    return MODELS[run.opened.header.recipe.model.kind]


def _notes(results: Results) -> list[str]:
    backbone = results.backbone
    sizes = {n: sum(p.numel() for p in run.model.parameters()) for n, run in results.runs.items()}
    vqa, caption = (_entry(results.runs[name]) for name in ("vqa", "caption"))
    return [
        "A program made the images, questions, answers and captions from one seed, in the file "
        "formats of VQA v2 and Karpathy's captions, and saccade read them as any such data. For "
        "every kind of question each answer is about equally often right, so that guessing from "
        "the question does not pay.",
        f"The backbone is {NAME.removeprefix('timm:')}, one of timm's smallest networks. Nothing "
        f"could be downloaded, so it was first trained, for {backbone.epochs} epochs on training "
        "images alone, to name what each cell of an 8 x 8 grid shows; for cells with a shape in "
        f"validation images kind and colour are right in {backbone.accuracy:.0%}. Then it was "
        "frozen. With real images this is a network trained on photos.",
        f"The two models are {vqa.title} and {caption.title} as published, with fewer weights "
        f"({sizes['vqa']:,} and {sizes['caption']:,}) and less dropout, the second without the "
        "penalty for uneven attention.",
        "They were trained on questions with answers, and on captions, without any place in the "
        "image. Attention shows what a model used; it does not prove why it predicted what it did.",
        "The best epoch was selected on validation images; the test images were used once.",
        "This is a small world of five shapes and six colours. With photos expect far less: "
        f"published are, for the first, {vqa.published}; for the second, {caption.published}.",
    ]


def _commands(out: Path, file: Path, question: str) -> list[tuple[str, str]]:
    """Lines that work as they stand, from the folder that the demonstration was started in."""
    image, question, program = _typed(file), shlex.quote(question), _program()
    vqa, caption = (_typed(out / "runs" / name) for name in ("vqa", "caption"))
    own = [
        f"{program} list sources",
        f"{program} prepare karpathy --root FOLDER --out mine",
        f"{program} extract mine --backbone timm:resnet101 --size 256 --resize squash",
        f"{program} train show-attend-tell --data mine --out runs/mine",
        f"{program} evaluate runs/mine",
    ]
    return [
        ("Ask another question.", f"{program} ask {vqa} {image} {question}"),
        ("Describe an image.", f"{program} caption {caption} {image}"),
        (
            "Draw attention maps, for an answer or word by word.",
            f"{program} explain {vqa} {image} {question} --out answer.png\n"
            f"{program} explain {caption} {image} --out words.png",
        ),
        (
            "Start with data of your own: any source that is listed, such as Flickr8k with "
            "Karpathy's splits.",
            "\n".join(own),
        ),
    ]


def _program() -> str:
    """`saccade` where the shell finds it, else its path."""
    beside = Path(sys.executable).with_name("saccade")
    found = shutil.which("saccade")
    if not beside.exists() or (found and Path(found).samefile(beside)):
        return "saccade"
    return _typed(beside)


def _typed(path: Path) -> str:
    """A path as one would type it from here."""
    near = os.path.relpath(path)
    return shlex.quote(str(path.absolute()) if near.startswith("..") else near)
