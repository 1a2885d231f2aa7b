"""The lines that this package adds to saccade's tables; nothing here imports torch."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from saccade.core.errors import BadData
from saccade.data.records import Collection, ImageRecord, Question
from saccade.datasets.catalogue import Source
from saccade.metrics.catalogue import Metric, Result
from saccade.models.catalogue import Entry, ModelConfig


class GatedFusionConfig(ModelConfig):
    """The settings of the model, as `--set model.embedding=128` changes them."""

    kind: Literal["gated_fusion"] = "gated_fusion"
    embedding: int = Field(64, ge=1)


GATED_FUSION = Entry(
    "saccade_example.model:GatedFusion",
    GatedFusionConfig,
    {"embedding": 16},
    "vqa",
    "Gated fusion (an example)",
    paper="",
    published="",
)


def read_cards(root: Path) -> Collection:
    """The flash cards of a folder.

    Raises:
        BadData: A row names a split that does not exist, or lacks a column.
    """
    path = root / "cards.csv"
    images: dict[str, ImageRecord] = {}
    questions = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row.get("split") not in ("train", "val", "test") or not row.get("image"):
                raise BadData(
                    f"line {number + 2} has no image, or no split of train, val and test",
                    location=path,
                    hint="Mend that line.",
                )
            image = images.setdefault(
                row["image"], ImageRecord(len(images), row["image"], row["split"])
            )
            answer = row["answer"]
            questions.append(
                Question(number, image.id, row["question"], row["split"], (answer,), answer)
            )
    return Collection("flash-cards", str(root.resolve()), list(images.values()), questions)


def recognise_cards(root: Path) -> str | None:
    """By what the layout is known in a folder, or None."""
    return "cards.csv is there" if (root / "cards.csv").is_file() else None


FLASH_CARDS = Source(
    reader="saccade_example.lines:read_cards",
    recogniser="saccade_example.lines:recognise_cards",
    summary="flash cards (an example): one colour each",
    layout="cards.csv with image,question,answer,split, and the images beside it",
    licence="yours to say",
)


def characters(text: str) -> list[str]:
    """Cut a text into its characters, without blanks."""
    return [character for character in text.lower() if not character.isspace()]


def first_letter(predictions: Sequence[str], references: Sequence[Question]) -> Result:
    """Share of answers that begin with the right letter, 0..1."""
    right = [
        float(answer[:1] == question.best_answer[:1])
        for answer, question in zip(predictions, references, strict=True)
    ]
    return Result(sum(right) / len(right), right)


FIRST_LETTER = Metric(
    title="First letter",
    task="vqa",
    compute="saccade_example.lines:first_letter",
    scale=100.0,
    unit="%",
    digits=1,
    direction="high",
    source="this example",
)
