"""Answers in capitals and in lower case score the same: each recipe with an answer list, as it is.

Trained for an epoch on small tables that differ in nothing but how people spelt their answers, then
evaluated and compared (`tests/test_own_answers.py`). Networks whose weights would be downloaded are
small and random.
"""

import tempfile
from pathlib import Path

from saccade.config import Cosine, change
from saccade.recipes.catalogue import RECIPES
from tests.test_own_answers import VQA, WRITTEN, own_table, score_alike

SPELLINGS = ("lower", "mixed")


def prove() -> list[str]:
    """What is wrong, a sentence each; the scores are printed."""
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        tables = {name: own_table(Path(made) / name, WRITTEN[name]) for name in SPELLINGS}
        for name in VQA:
            recipe, features = RECIPES[name], "cells"
            changes = ["train.epochs=1", "train.batch_size=16", "answers.min_count=1"]
            if recipe.text.tokenizer.startswith("file:"):
                changes.append("text.tokenizer=karpathy")
            if recipe.encoder:
                features = "pixels"
                changes += ["encoder=timm:test_resnet", "encoder.weights=random"]
                changes.append(f"model.mode={recipe.model.model_dump()['mode']}")
                small = RECIPES[f"{name.partition('-')[0]}-small"]
                recipe = recipe.replace(model=small.model)
            if isinstance(recipe.train.schedule, Cosine):  # which needs steps behind its warm-up
                changes.append("train.schedule.warmup_steps=1")
            home = Path(made) / f"runs-{name}"
            try:
                score = score_alike(change(recipe, *changes), tables, home, features)
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
                print(f"  {name:32} FAILED", flush=True)
            else:
                print(f"  {name:32} {score:6.2f} in both", flush=True)
    return wrong
