"""The page that compares runs: one HTML file with everything inside, and its numbers beside it.

`report.html` alone suffices: every figure has its numbers as CSV and JSON in a link. The same files
lie in the folder `report/` beside it, for programs.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from saccade.comparison.curves import curves, epochs
from saccade.comparison.details import calibration, cost, further, labels, risk, types
from saccade.comparison.examples import Gallery, gallery
from saccade.comparison.figures import Figure
from saccade.comparison.ranking import bars, leaderboard, paired, priors, seeds
from saccade.comparison.runs import Group, read_groups
from saccade.core.errors import BadConfig, BadData, SaccadeError
from saccade.core.files import write_bytes
from saccade.core.tasks import TASK_INFO
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.viz.html import fill
from saccade.viz.plots import colour, mark

WATTS = 100.0
"""Assumed unless said: a desktop computer at work. A graphics card draws several times as much."""
OURS = re.compile(r"(vqa|caption)-[0-9a-f]{8}(-\d+)?-[a-z]+(-\d+)?\.(csv|json)")
"""How the files beside the page are called."""


class Part(NamedTuple):
    """What the page says of the runs that may be ranked."""

    group: Group
    title: str
    standings: Sequence[Figure]
    gallery: Gallery | None
    no_gallery: str
    """Why there are no examples."""
    details: Sequence[Figure]

    @property
    def figures(self) -> list[Figure]:
        """All of them, in the page's order."""
        drawn = [self.gallery.figure] if self.gallery else []
        return [*self.standings, *drawn, *self.details]


def compare(
    runs: Mapping[str, Path],
    out: Path,
    *,
    split: Split | None = None,
    data: Path | None = None,
    features: str | None = None,
    watts: float = WATTS,
    examples: int = 3,
    device: str = "auto",
) -> list[Path]:
    """Write the page that compares judged runs (by the names it shall give them) to `out`.

    Returns the page and the files of numbers beside it. `split` is by default the last one on which
    all runs were judged; `data` and `features` are needed only where they have moved since, and
    only for the `examples` of each kind. Equal runs give equal pages. Raises BadConfig for an `out`
    that is no HTML file, BadData where its folder holds other things, BadRun for a run that was not
    judged on the split.
    """
    folder = _folder(out)
    groups = read_groups(runs, split)
    parts = [_part(group, data, features, watts, examples, device) for group in groups]
    files = {
        f"{part.group.name}-{figure.name}.{end}": text
        for part in parts
        for figure in part.figures
        for end, (text, _) in figure.files.items()
    }
    page = fill(
        "comparison/page.html.j2",
        parts=parts,
        runs=sum(len(group.runs) for group in groups),
        split=groups[0].split,
        colour=colour,
        mark=mark,
        version=version("saccade"),
        folder=folder.name,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()  # of an earlier comparison: `_folder` has refused all else
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    write_bytes(out, page.encode())
    return [out, *(folder / name for name in files)]


def _folder(out: Path) -> Path:
    """Where the numbers go, refused before the work begins."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise BadConfig("the page must be an HTML file", location=out, hint="Give -o NAME.html.")
    folder = out.with_suffix("")
    if folder.exists() and not folder.is_dir():
        raise BadData("is a file", location=folder, hint="Give the page another name with -o.")
    inside = folder.iterdir() if folder.exists() else ()
    strange = [path.name for path in inside if not OURS.fullmatch(path.name)]
    if strange:
        raise BadData(
            f"holds other things than a comparison's numbers, such as {sorted(strange)[0]}",
            location=folder,
            hint="Give the page another name with -o.",
        )
    return folder


def _part(
    group: Group,
    data: Path | None,
    features: str | None,
    watts: float,
    examples: int,
    device: str,
) -> Part:
    standings = [
        leaderboard(group),
        bars(group),
        paired(group),
        seeds(group),
        priors(group),
        types(group),
    ]
    details = [
        further(group),
        curves(group),
        *epochs(group),
        calibration(group),
        risk(group),
        cost(group, watts),
        labels(group),
    ]
    folder, why = _data(group, data)
    drawn = None
    if folder is not None and examples:
        drawn = gallery(group, folder, examples, device, features)
    source = folder.about["source"] if folder is not None else f"data {group.data[:8]}"
    predictions = TASK_INFO[group.task].predictions.capitalize()
    title = f"{predictions} on {source}, {group.split} split"
    return Part(
        group,
        title,
        [figure for figure in standings if figure is not None],
        drawn,
        why if examples else "",
        [figure for figure in details if figure is not None],
    )


def _data(group: Group, data: Path | None) -> tuple[DataFolder | None, str]:
    """The data folder that the group was judged on; else why there is none."""
    places = [data] if data else []
    places += [Path(run.opened.header.data) for run in group.runs if run.opened.header.data]
    why = "no run says where its data is"
    for place in dict.fromkeys(places):
        try:
            folder = DataFolder(place)
        except SaccadeError as error:
            why = f"{place}: {error.message}"
            continue
        if folder.fingerprint == group.data:
            return folder, ""
        why = f"{place} holds other data than the runs were judged on"
    return None, why
