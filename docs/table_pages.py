"""A page for each data set and each metric, made from the tables of the package when the site is
built: `docs/made/`, which git ignores.
"""

import re
import shutil
from collections import defaultdict
from pathlib import Path

from saccade.datasets.catalogue import SOURCES
from saccade.datasets.downloads import DOWNLOADS
from saccade.metrics.catalogue import METRICS

DOCS = Path(__file__).parent
MADE = DOCS / "made"
METRIC_SECTIONS = {
    **{"vqa": "vqa-accuracy", "rouge": "rouge-l", "java": "meteor-and-spice"},
    **{"multiple_choice": "multiple-choice", "yes_no": "yes-or-no"},
}
"""Of a metric's module: its section in metrics.md, where it has another name."""
BETTER = {"high": "higher is better", "low": "lower is better", "none": "only describes"}


def write_pages() -> None:
    """Write them all anew."""
    shutil.rmtree(MADE, ignore_errors=True)
    sections = _sections_of_sources()
    for name in SOURCES:
        _write("sources", name, _about_source(name, sections.get(name, "the-sources")))
    by_module: defaultdict[str, list[str]] = defaultdict(list)
    for name, metric in METRICS.items():
        by_module[metric.compute.partition(":")[0].rpartition(".")[2]].append(name)
    for module, names in by_module.items():
        _write("metrics", module, _about_metrics(module, names))


def _write(kind: str, name: str, text: str) -> None:
    path = MADE / kind / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _sections_of_sources() -> dict[str, str]:
    """Of each source that has a section of its own in data.md: the anchor of its heading."""
    headings = re.findall(r"^### (`.*)", (DOCS / "data.md").read_text(encoding="utf-8"), re.M)
    return {
        name: re.sub(r"[^\w -]", "", heading).replace(" ", "-")
        for heading in headings
        for name in re.findall(r"`([^`]+)`", heading)
    }


def _about_source(name: str, section: str) -> str:
    source = SOURCES[name]
    fetch = f"saccade download {name} --to DIR --dry-run\n" if name in DOWNLOADS else ""
    return f"""# {name}

{source.summary}.

```sh
{fetch}saccade prepare {name} --root DIR --out DATA
```

| | |
|---|---|
| files below `DIR` | {_cell(source.layout)} |
| licence | {_cell(source.licence)} |

Splits, options and what was verified: [data sets](../../data.md#{section}).
"""


def _about_metrics(module: str, names: list[str]) -> str:
    metrics = [METRICS[name] for name in names]
    section = METRIC_SECTIONS.get(module, module)
    headings = re.findall(r"^## (.*)", (DOCS / "metrics.md").read_text(encoding="utf-8"), re.M)
    title = next(one for one in headings if one.lower().replace(" ", "-") == section)
    rows = [
        f"| `{name}` | {of.title} | {of.unit or '-'} | {BETTER[of.direction]} |"
        f" {'yes' if of.selectable else 'no'} |"
        for name, of in zip(names, metrics, strict=True)
    ]
    task = {"vqa": "answers", "caption": "captions"}[metrics[0].task]
    return f"""# {title}

Of {task}; `saccade evaluate RUN` and `saccade score FILE --data DATA` compute it.
As defined by: {"; ".join(dict.fromkeys(of.source for of in metrics))}.

| in `scores.json` | title | unit | | `train.select_by` |
|---|---|---|---|---|
{chr(10).join(rows)}

Formula, oddities of the official code, and what it was compared with:
[metrics](../../metrics.md#{section}).
"""


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")
