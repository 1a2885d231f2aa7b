"""A split's scores as a person reads them: a headline, the verdict, and then the details.

Lines for a terminal of 80 columns, from an entry of `scores.json`. Fingerprints, curves and
confusion stay in that file.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from saccade.core.formatting import table
from saccade.core.language import translated
from saccade.core.tasks import TASK_INFO
from saccade.evaluation.verdict import (
    BASELINES,
    CAUTIONS,
    SHUFFLED,
    baseline_title,
    gain_of,
    give_verdict,
    is_number,
    tells_apart,
)
from saccade.metrics.catalogue import METRICS, metrics_of

WIDTH = 80
TYPES = 12
"""Types of questions that are listed; of more, those that are best and worst."""
Scores = Mapping[str, Any]
_COMPARED = {(True, 1): "above", (True, 0): "near", (True, -1): "below", (False, 0): "beside"}
_USED = {"yes": "used", "misleads": "it misleads", "hardly": "hardly used"}


def headline(scores: Scores) -> str:
    """One line: score, interval, best baseline without an image, gain by the image, verdict."""
    verdict = give_verdict(scores)
    metric, name = verdict.metric, verdict.baseline
    line = f"{METRICS[metric].title} {_number(metric, scores[metric])} {_interval(scores, metric)}"
    if name is not None:
        gap = gain_of(scores, metric, "baseline_gain")
        sign = gap.sign if gap and tells_apart(scores, metric, name) else 0
        compared = _COMPARED[gap is not None, sign]
        line = f"{line.strip()} {compared} {BASELINES[name].short} "
        line += _number(metric, scores["baselines"][name][metric]).removesuffix("%")
    gain = gain_of(scores, metric)
    by_image = f"{gain.points:+z.1f}: " if gain else ""
    return f"{line.strip()}; image {by_image}{_USED.get(verdict.image_use, verdict.image_use)}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Lines of a text in the user's language; Chinese letters are two columns wide."""
    shown = translated(text)
    return textwrap.wrap(shown, WIDTH if shown == text else WIDTH // 2, subsequent_indent=indent)


def summary(scores: Scores) -> Iterator[str]:
    """All lines, the most important first."""
    yield headline(scores)
    yield ""
    yield table(_main_table(scores))
    yield ""
    yield from _wrapped(give_verdict(scores).text)
    for (label, value), caution in CAUTIONS.items():
        if scores.get(label) is value:
            yield f"{caution[0].upper()}{caution[1:]}."
    for name, message in (scores.get("findings") or {}).items():
        yield from _wrapped(f"Before training, [{name}]: {message}.")
    for finding in scores.get("training_findings") or ():
        yield from _wrapped(f"While it trained, {finding}")
    for title, rows in _sections(scores):
        if rows:
            yield ""
            yield title
            yield textwrap.indent(table(rows), "  ")
    yield ""
    yield from _about(scores)


def _number(metric: str, value: float) -> str:
    """A score with its unit only where that is a sign."""
    return METRICS[metric].shown(value).removesuffix(" points")


def _interval(scores: Scores, metric: str) -> str:
    ends = scores["interval"].get(metric)
    numbers = [_number(metric, end).removesuffix("%") for end in ends or ()]
    return f"[{', '.join(numbers)}]" if numbers else ""


def _main_table(scores: Scores) -> Iterator[Sequence[str]]:
    """The model, the best baseline without an image, and the model with wrong images."""
    verdict, baselines = give_verdict(scores), scores["baselines"]
    without = verdict.baseline or ""
    shown = BASELINES[without].short if without else "without an image"
    yield "", "model", "95 % interval", shown, BASELINES[SHUFFLED].short, "image gains"
    for metric in TASK_INFO[scores["task"]].main_metrics:
        gain, cells = gain_of(scores, metric), [METRICS[metric].title]
        cells += [_number(metric, scores[metric]), _interval(scores, metric) or "not measured"]
        for name in (without, SHUFFLED):
            value = baselines.get(name, {}).get(metric)
            cells.append(_number(metric, value) if is_number(value) else "not measured")
        yield [*cells, str(gain) if gain else "not measured"]


def _sections(scores: Scores) -> Iterator[tuple[str, list[Sequence[str]]]]:
    """Titles and tables of the details."""
    task, main = scores["task"], TASK_INFO[scores["task"]].main_metrics
    titles = [METRICS[metric].title for metric in main]
    yield "Baselines, by " + " and ".join(titles), [*_baselines(scores, main)]
    human = scores.get("diversity_of_people", {})
    others = [m for m in metrics_of(task) if m not in main and is_number(scores.get(m))]
    yield (
        "Other scores",
        [*_bounds(scores), *_measured(scores, [m for m in others if m not in human])],
    )
    yield (
        "Diversity of captions, and of one caption a person wrote",
        [
            (METRICS[m].title, METRICS[m].shown(scores[m]), METRICS[m].shown(human[m]))
            for m in others
            if m in human
        ],
    )
    board = scores.get("leaderboard", {})
    yield (
        "As the COCO server scores, by the official tokenizer",
        [(METRICS[m].title, METRICS[m].shown(board[m])) for m in (*main, *others) if m in board],
    )
    yield "As other programs score the same predictions", [*_scored_as(scores, board or scores)]
    for kind in ("answer", "question"):
        yield f"Accuracy by type of {kind}", [*_types(scores.get(f"per_{kind}_type", {}))]


def _scored_as(scores: Scores, official: Scores) -> Iterator[Sequence[str]]:
    """A row for each program and metric: its number, and the one here."""
    if "scored_as" in scores:
        yield "", "", "there", "here"
    for name, found in scores.get("scored_as", {}).items():
        for metric in filter(METRICS.__contains__, found):
            shown = [METRICS[metric].shown(one[metric]) for one in (found, official)]
            yield f"{name} {found['version']}", METRICS[metric].title, *shown


def _baselines(scores: Scores, main: Sequence[str]) -> Iterator[Sequence[str]]:
    for name, found in scores["baselines"].items():
        known = [m for m in main if is_number(found.get(m))]
        cells = [_number(m, found[m]) for m in known] or ["not measured", *[""] * (len(main) - 1)]
        # Of the numbers as they are shown; whether the difference is certain, the verdict says.
        higher = [
            m
            for m in known
            if found[m] > scores[m] and _number(m, found[m]) != _number(m, scores[m])
        ]
        yield [baseline_title(name), *cells, "higher than the model" if higher else ""]


def _bounds(scores: Scores) -> Iterator[Sequence[str]]:
    """What limits the scores, and the losses."""
    if "upper_bound" in scores:
        most = METRICS["accuracy"].shown(scores["upper_bound"])
        yield "best that the answer list allows", most, ""
    if left := scores.get("without_features"):
        yield "without features, counted as wrong", f"{left:,}", ""
    loss = scores.get(TASK_INFO[scores["task"]].held_out_loss, {}).get("loss")
    if is_number(loss):
        yield "loss", f"{loss:z.3f}", ""


def _measured(scores: Scores, metrics: Sequence[str]) -> Iterator[Sequence[str]]:
    for metric in metrics:
        yield (
            METRICS[metric].title,
            METRICS[metric].shown(scores[metric]),
            _interval(scores, metric),
        )


def _types(accuracy: Mapping[str, float]) -> Iterator[Sequence[str]]:
    """Best first; nothing where there is but one, whose accuracy is that of all."""
    ordered = sorted(accuracy.items(), key=lambda item: -item[1])
    left_out = len(ordered) - TYPES
    for place, (name, value) in enumerate(ordered if len(ordered) > 1 else ()):
        if left_out > 0 and place == TYPES // 2:
            yield f"and {left_out} others", ""
        if not TYPES // 2 <= place < len(ordered) - TYPES // 2 or left_out <= 0:
            yield name or "(no type)", METRICS["accuracy"].shown(value)


def _about(scores: Scores) -> Iterator[str]:
    """What was scored, of which run, by whose rules; and what could not be measured."""
    number, kind = next((scores[k], k) for k in ("questions", "images") if k in scores)
    beam = f", beam size {scores['beam_size']}" if "beam_size" in scores else ""
    lines = [f"{scores['split']} split, {number:,} {kind}. Scorer: {scores['scorer']}."]
    if scores.get("model"):  # nobody knows that of a file of predictions
        run, members = f"{scores['recipe']} ({scores['model']})", scores.get("members") or ()
        which = f"epoch {scores['epoch']}, seed {scores['seed']}"
        if "folds" in scores:
            which = f"ensemble of {scores['folds']} folds, seed {scores['seed']}"
        elif members:
            seeds = ", ".join(str(one["seed"]) for one in members)
            which = f"ensemble of {len(members)}, seeds {seeds}"
        lines.append(f"Run: {run}, {which}, features {scores['features']}{beam}.")
        known = [METRICS[m["metric"]].shown(m["score"]) for m in members if m["metric"] in METRICS]
        if known:
            how = "each on its own fold" if "folds" in scores else "alone"
            lines.append(f"Its members were validated, {how}, at {', '.join(known)}.")
    others = scores.get("scored_as", {})
    lines += [f"{name} differs: {one['differs']}." for name, one in others.items()]
    for line in lines:
        yield from _wrapped(line, "  ")
    missing = [v for v in scores.values() if isinstance(v, Mapping) and "not_measured" in v]
    for reason in dict.fromkeys(one["not_measured"] for one in missing):
        yield from _wrapped(f"Not measured: {reason}", "  ")
