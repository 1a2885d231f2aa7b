"""What other packages print for the same predictions, each installed alone and run as it comes.

    python -m benchmarks.scorers                 the rows of docs/measured/scorers.md
    python -m benchmarks.scorers mmf evalscope   some of them
    python -m benchmarks.scorers --check         `saccade score --as` against them, one by one

Each package is installed without its dependencies into a temporary folder (what it imports and does
not find there or here is a stand-in, see `stand_ins`), and asked by a process of its own. The
data are those of SACCADE_REAL_DATA: 48,061 questions of VQA v2, 2,250 images of Flickr8k.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from saccade.evaluation.scoring import ptb_references
from saccade.metrics.bleu import bleu
from saccade.metrics.cider import corpus_cider
from saccade.metrics.ptb import coco_words
from saccade.metrics.scorers import SCORERS
from saccade.metrics.vqa import vqa_accuracy_of

ROOT = Path(__file__).parents[2]


class Package(NamedTuple):
    """A row: what is installed, and which scores are asked of it."""

    requirement: str
    kind: str
    """vqa, captions, or similarity (ANLS)."""


PACKAGES = {
    "lmms-eval": Package("lmms-eval==0.7.3", "vqa"),
    "open-flamingo": Package("open-flamingo==2.0.1", "vqa"),
    "mmf": Package("mmf==1.0.0rc10", "vqa"),
    "evalscope": Package("evalscope==1.14.1", "vqa"),
    "ms-vlmeval": Package("ms-vlmeval==0.0.20", "vqa"),
    "mmpretrain": Package("mmpretrain==1.2.0", "vqa"),
    "allennlp-models": Package("allennlp-models==2.10.1", "vqa"),
    "crfm-helm": Package("crfm-helm==0.5.16", "vqa"),
    "salesforce-lavis": Package("salesforce-lavis==1.0.2", "vqa"),
    "multimodal": Package("multimodal==0.0.13", "vqa"),
    "pycocoevalcap": Package("pycocoevalcap==1.2", "captions"),
    "pycocoevalcap-cn": Package("pycocoevalcap-cn==0.0.1", "captions"),
    "ms-vlmeval-captions": Package("ms-vlmeval==0.0.20", "captions"),
    "nltk": Package("nltk==3.10.4", "captions"),
    "sacrebleu": Package("sacrebleu==2.6.0", "captions"),
    "anls": Package("anls==0.0.2", "similarity"),
    "anls-star": Package("anls-star==1.0.1", "similarity"),
    "inspect-evals": Package("inspect-evals==0.28.0", "similarity"),
    "ms-vlmeval-anls": Package("ms-vlmeval==0.0.20", "similarity"),
}


def run(name: str, asked: list[dict[str, Any]]) -> list[Any]:
    """A package's scores of several sets of predictions. Raises CalledProcessError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile"]
        install += [
            "--disable-pip-version-check",
            "-qq",
            "--target",
            folder,
            PACKAGES[name].requirement,
        ]
        subprocess.run(install, check=True)
        program = [
            sys.executable,
            "-m",
            "benchmarks.scorers.programs",
            folder,
            name.replace("-", "_"),
        ]
        answer = subprocess.run(
            program, input=json.dumps(asked), text=True, check=True, stdout=-1, stderr=-1, cwd=ROOT
        )
        found: list[Any] = json.loads(answer.stdout)
        return found


def questions(data: Path) -> list[dict[str, Any]]:
    """Best answers, the same as sentences, and the second person's, of the VQA v2 questions."""
    path = data / "vqa-v2-text" / "v2_train_annotations.json.gz"
    with gzip.open(path, "rt") as file:
        records = json.load(file)["annotations"]
    people = [[one["answer"] for one in record["answers"]] for record in records]
    best = [record["multiple_choice_answer"] for record in records]
    sentences = [f"{text[:1].upper()}{text[1:]}." for text in best]
    second = [answers[1] for answers in people]
    return [{"predictions": p, "people": people} for p in (best, sentences, second)]


def captions(data: Path) -> list[dict[str, Any]]:
    """The first caption of each image against the others; one without capitals and full stop."""
    by_image: dict[str, list[str]] = {}
    with (data / "flickr8k-2250" / "captions.token.txt").open(encoding="utf-8") as file:
        for line in file:
            name, caption = line.rstrip("\n").split("\t")
            by_image.setdefault(name.partition("#")[0], []).append(caption)
    first = [some[0] for some in by_image.values()]
    others = [some[1:] for some in by_image.values()]
    plain = [text.lower().rstrip(" .") for text in first]
    alone = {"predictions": ["a red car"], "people": [["a red car"]]}
    return [{"predictions": p, "people": others} for p in (first, plain)] + [alone]


SIMILAR = [{"predictions": ["abxx", "abcd"], "people": [["abcd"], ["abcd", "x"]]}]
"""ANLS of a prediction at exactly half, and of a perfect one."""


def rows(names: list[str], data: Path) -> Iterator[tuple[str, ...]]:
    """A row of the table for each package."""
    asked = {"similarity": SIMILAR}
    for name in names:
        package = PACKAGES[name]
        if package.kind not in asked:
            asked[package.kind] = questions(data) if package.kind == "vqa" else captions(data)
        found = run(name, asked[package.kind])
        if package.kind == "vqa":
            cells = [f"{100 * fmean(scores):.2f}" for scores in found]
        elif package.kind == "captions":
            cells = [_cider_and_bleu(one) for one in found]
        else:
            cells = [f"{score:g}" for score in found[0]]
        yield package.requirement.replace("==", " "), package.kind, *cells


def _cider_and_bleu(scores: dict[str, float]) -> str:
    cider = f"{100 * scores['cider']:.1f}" if "cider" in scores else "-"
    return f"CIDEr {cider} BLEU-4 {100 * scores['bleu_4']:.4g}"


def official(data: Path) -> Iterator[tuple[str, ...]]:
    """The rows of the official revisions, of saccade's own, and of its captions."""
    sets = questions(data)
    for revision in ("2021-03", "2016", "always"):
        cells = []
        for given in sets:
            pairs = zip(given["predictions"], given["people"], strict=True)
            cells.append(f"{100 * fmean(vqa_accuracy_of(*pair, revision) for pair in pairs):.2f}")
        yield f"official {revision}" if revision != "always" else "saccade always", "vqa", *cells
    cells = []
    for given in captions(data):
        words, human = coco_words(given["predictions"]), ptb_references(given["people"])
        found = {"cider": corpus_cider(words, human), **bleu(words, human)}
        cells.append(_cider_and_bleu({name: one.value for name, one in found.items()}))
    yield "saccade, official tokenizer", "captions", *cells


def differences(data: Path) -> Iterator[tuple[str, ...]]:
    """The package's own scores of each line of `SCORERS`, and the largest difference of one."""
    asked = {"vqa": questions(data), "caption": captions(data)}
    for name, scorer in SCORERS.items():
        sets = asked[scorer.task]
        worst, count, means = 0.0, 0, list[str]()
        for given, theirs in zip(sets, run(name, sets), strict=True):
            ours = scorer.compute(given["predictions"], given["people"])
            if scorer.task == "vqa":
                pairs = zip(ours["accuracy"].per_example or (), theirs, strict=True)
                means.append(f"{100 * fmean(theirs):.2f}")
            else:
                pairs = zip((ours[key].value for key in theirs), theirs.values(), strict=True)
            gaps = [abs(one - other) for one, other in pairs]
            worst, count = max(worst, *gaps), count + len(gaps)
        yield name, *means, f"{count:,} scores", f"{worst:.1e}"


def main() -> int:
    """Print rows, or differences; 1 where a difference is too large."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scorers")
    parser.add_argument("names", nargs="*", choices=[*PACKAGES, []], metavar="PACKAGE")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    data = Path(os.environ["SACCADE_REAL_DATA"])
    if given.check:
        failed = False
        for row in differences(data):
            print("  ".join(row), flush=True)
            failed |= float(row[-1]) > 1e-9
        return int(failed)
    found = [] if given.names else [*official(data)]
    for row in found:
        print("  ".join(row), flush=True)
    for row in rows(given.names or [*PACKAGES], data):
        print("  ".join(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
