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

from saccade.core.formatting import NO_WORDS
from saccade.core.progress import track
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import Question, Split
from saccade.demo.backbone import NAME, TrainedBackbone
from saccade.evaluation.attention_grounding import AttentionGrounding, Box
from saccade.features.images import read_image
from saccade.inference.explain import map_tile
from saccade.inference.predictor import Run
from saccade.metrics.bleu import corpus_bleu
from saccade.metrics.catalogue import METRICS, titled
from saccade.metrics.vqa import vqa_accuracy_of
from saccade.models.catalogue import MODELS, Entry
from saccade.viz.html import Bar, Tile, address, embed

WIDE, NARROW = 220, 150
"""Pixels of a tile: of a glimpse, of a word."""
WRONG, CAPTIONS = 3, 3
"""Examples, at most."""
Content = dict[str, Any]
"""What `page.html.j2` shows, by the names that it has there."""


class Samples:
    """Examples of one split."""

    def __init__(self, folder: DataFolder, split: Split) -> None:
        self.files = {one.id: folder.image_root / one.file for one in folder.images(split)}
        self.questions = {question.id: question for question in folder.questions(split)}
        self.window = folder.window
        self.human_captions = folder.captions_by_image(split)

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

    def answer_card(self, run: Run, id_: int, boxes: Sequence[Box]) -> Content:
        """A question, answered again so that the attention maps are known."""
        question = self.questions[id_]
        answer = run.ask(self.files[question.image_id], question.text, refuse_unknown=False)
        image = self._pixels(question.image_id)
        tiles = [Tile("asked about" if boxes else "the image", embed(image, WIDE), boxes)]
        for number, weights in enumerate(() if answer.attention is None else answer.attention, 1):
            tiles.append(map_tile(run, f"glimpse {number}", weights, answer.boxes, image, WIDE))
        counts = Counter(question.answers).most_common(3)
        return {
            "question": question.text,
            "answer": answer.text,
            "confidence": answer.top[0][1],
            "people": ", ".join(f"{text} ({count})" for text, count in counts),
            "accuracy": vqa_accuracy_of(answer.text, question.answers),
            "tiles": tiles,
        }

    def caption_cards(self, run: Run, captions: Mapping[int, str]) -> list[Content]:
        """The first captions of the split, and then the worst one by its own BLEU-4."""
        ids = list(captions)
        references = [[caption.words for caption in self.human_captions[id_]] for id_ in ids]
        bleu = corpus_bleu([captions[id_].split() for id_ in ids], references).per_image
        selected = dict.fromkeys(ids[:CAPTIONS], "first of the test images")
        selected[ids[int(np.argmin([scores[-1] for scores in bleu]))]] = "worst of the test images"
        cards = []
        for id_, reason in track([*selected.items()], "captions"):
            captioned, image = run.caption(self.files[id_]), self._pixels(id_)
            tiles = [Tile("the image", embed(image, NARROW))]
            tiles += [
                map_tile(run, word.text, word.attention, captioned.boxes, image, NARROW)
                for word in captioned.words
                if word.attention is not None
            ]
            text, human = captioned.text or NO_WORDS, self.human_captions[id_][0].text
            cards.append({"caption": text, "human": human, "reason": reason, "tiles": tiles})
        return cards

    def _pixels(self, id_: int) -> NDArray[np.uint8]:
        return np.asarray(read_image(self.files[id_], self.window).permute(1, 2, 0))


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


def page_content(results: Results, samples: Samples) -> Content:
    """All that is on the page, but for the `stages` and their price, known only at the end."""
    runs, predictions = results.runs, results.predictions

    def answer_cards(ids: Sequence[int]) -> list[Content]:
        asked = track(ids, "questions")
        return [samples.answer_card(runs["vqa"], id_, results.boxes.get(id_, ())) for id_ in asked]

    # Few large numbers, each with what it is.
    (vqa, caption), grounding = results.scores.values(), results.grounding
    alone, constant = _text(vqa, "question_only"), _text(caption, "constant_caption")
    accuracy, bleu = _text(vqa), _bar("", caption).text
    headlines = [
        (accuracy, f"official VQA accuracy of answers. Without the image: {alone}."),
        (
            bleu,
            f"BLEU-4 points of captions. The best single caption for all images: {constant}.",
        ),
    ]
    if grounding is not None:
        meaning = (
            "of questions: most attention is on the very shape asked about. By chance: "
            f"{grounding.landed_by_chance:.0%}."
        )
        headlines.append((f"{grounding.landed:.0%}", meaning))
    answers = answer_cards(samples.first_of_each_kind())
    drawn = ((run, results.out / "runs" / name / "curves.png") for name, run in runs.items())
    curves = [
        Tile(_entry(run).title, address(file.read_bytes(), "image/png")) for run, file in drawn
    ]
    image = samples.files[next(iter(predictions["caption"]))]
    return {
        "lead": "One answers questions about an image, one describes it. Both were trained on this "
        f"machine, just now, on {results.backbone.images:,} drawn images; all below is about "
        f"{len(samples.files):,} test images.",
        "headlines": headlines,
        "answers": answers,
        "wrong_answers": answer_cards(samples.first_wrong(predictions["vqa"])),
        "captions": samples.caption_cards(runs["caption"], predictions["caption"]),
        "charts": _charts(results),
        "metrics": [(_entry(runs[name]).title, titled(of)) for name, of in results.scores.items()],
        "curves": curves,
        "notes": _notes(results),
        "commands": _commands(results.out, image, answers[0]["question"]),
        "versions": " · ".join(f"{name} {version(name)}" for name in ("saccade", "torch", "timm")),
    }


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


def _charts(results: Results) -> list[tuple[str, str, list[Bar]]]:
    """Title, description (what is measured, on what), and bars; those of baselines are paler."""
    (vqa, caption), grounding = results.scores.values(), results.grounding
    kinds = sorted(vqa["per_question_type"].items(), key=lambda item: -item[1])
    digits = METRICS["accuracy"].digits
    without = ("shuffled_images", "shuffled_questions", "question_only", "most_frequent_answer")
    bleu = [f"bleu_{n}" for n in range(1, 5)]
    charts = [
        (
            "Answers",
            f"Official VQA accuracy (%) on {vqa['questions']:,} test questions. Question only: a "
            "classifier that reads the question without the image. Shuffled images, shuffled "
            "questions: the model itself, with these exchanged among the test questions.",
            [
                _bar("the model", vqa),
                *(_bar(name.replace("_", " "), vqa, baseline=name) for name in without),
            ],
        ),
        (
            "Answers by how the question begins",
            "The same accuracy. Of questions with two answers, half are right by chance.",
            [Bar(f"{kind} …", f"{value:.{digits}f}", value / 100, run=0) for kind, value in kinds],
        ),
        (
            "Captions",
            f"Corpus BLEU (points) on {caption['images']:,} test images, five captions each; beam "
            f"search with {caption['beam_size']} beams. The best single caption for all images is "
            f"“{caption['baselines']['constant_caption']['caption']}”; from similar images comes "
            "the training caption that most of their captions agree with.",
            [
                *(_bar(METRICS[name].title, caption, name) for name in bleu),
                _bar("BLEU-4, similar images", caption, baseline="nearest_neighbour"),
                _bar("BLEU-4, shuffled images", caption, baseline="shuffled_images"),
                _bar("BLEU-4, one for all", caption, baseline="constant_caption"),
            ],
        ),
    ]
    if grounding is not None:
        shares = [
            ("pointing game", grounding.landed, 0),
            ("pointing game, by chance", grounding.landed_by_chance, None),
            ("inside", grounding.inside, 0),
            ("inside, by chance", grounding.inside_by_chance, None),
        ]
        description = (
            f"{grounding.questions:,} test questions about shapes whose place is known. Pointing "
            "game: the cell with most attention has its centre in a shape's box. Inside: share of "
            "all attention that lies in the boxes."
        )
        bars = [Bar(name, f"{share:.0%}", share, run) for name, share, run in shares]
        charts.append(("Attention", description, bars))
    return charts


def _text(scores: Mapping[str, Any], baseline: str = "") -> str:
    """The task's own metric of the model or of a baseline, with its unit."""
    metric = TASK_INFO[scores["task"]].default_metric
    return METRICS[metric].shown((scores["baselines"][baseline] if baseline else scores)[metric])


def _bar(name: str, scores: Mapping[str, Any], metric: str = "", baseline: str = "") -> Bar:
    """A metric, by default the task's own, of the model or of a baseline."""
    metric = metric or TASK_INFO[scores["task"]].default_metric
    of, value = METRICS[metric], (scores["baselines"][baseline] if baseline else scores)[metric]
    shown = of.scale * value  # of all metrics here, 100 is the most
    return Bar(name, f"{shown:.{of.digits}f}", shown / 100, None if baseline else 0)


def _entry(run: Run) -> Entry:
    return MODELS[run.opened.header.recipe.model.kind]


def _notes(results: Results) -> list[str]:
    """How it was made and what it does not show, a sentence or two each."""
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
    """What a command does, and lines that work as they stand, from the folder that this was
    started in.
    """
    beside, found = Path(sys.executable).with_name("saccade"), shutil.which("saccade")
    on_path = not beside.exists() or (found and Path(found).samefile(beside))
    program, question = "saccade" if on_path else _typed(beside), shlex.quote(question)
    vqa, caption, image = (_typed(p) for p in (out / "runs/vqa", out / "runs/caption", file))
    own = (
        "list sources",
        "prepare karpathy --root FOLDER --out mine",
        "extract mine --backbone timm:resnet101 --size 256 --resize squash",
        "train show-attend-tell --data mine --out runs/mine",
        "evaluate runs/mine",
    )
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
            "\n".join(f"{program} {words}" for words in own),
        ),
    ]


def _typed(path: Path) -> str:
    """A path as one would type it from here."""
    near = os.path.relpath(path)
    return shlex.quote(str(path.absolute()) if near.startswith("..") else near)
