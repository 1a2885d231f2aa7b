"""The page that compares runs: one HTML file with everything inside, and its numbers beside it.

Every figure of `report.html` has its numbers as CSV and JSON in a link; the same files lie in the
folder `report/` beside it, for programs.
"""

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from saccade.comparison.curves import curves, epochs
from saccade.comparison.details import confidence, cost, labels, metrics, types
from saccade.comparison.examples import Section, gallery
from saccade.comparison.figures import Figure
from saccade.comparison.ranking import bars, baselines, ranking, seeds, significance
from saccade.comparison.runs import Group, read_groups
from saccade.core.errors import BadConfig, BadData, SaccadeError
from saccade.core.files import write_bytes
from saccade.core.progress import track
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.viz.html import address, fill
from saccade.viz.plots import colour, mark

WATTS = 100.0
"""By default: a desktop computer at work. A graphics card draws several times as much."""
OURS = re.compile(r"(vqa|caption)-[0-9a-f]{8}(-\d+)?-[a-z]+(-\d+)?\.(csv|json)")
"""The names of the files beside the page."""


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
    """Write the page that compares scored runs, and its numbers beside it.

    Equal runs give equal pages.

    Args:
        runs: Run folders by the names that the page gives them.
        out: The HTML file; the numbers go into the folder of that name without `.html`.
        split: By default the last one on which all runs were scored.
        data: The data folder, where it has moved; for the examples alone.
        features: The features in it, by default those the runs were scored on.
        watts: Power of the machine, for an estimate of energy.
        examples: At most so many of each kind.
        device: For attention maps: "cpu", "cuda", "auto".

    Returns:
        The page and the files of numbers.

    Raises:
        BadConfig: `out` is no HTML file.
        BadData: The folder beside it holds other things.
        BadRun: A run has no scores on the split, or its files do not belong together.
    """
    folder = _folder(out)
    groups = read_groups(runs, split)
    parts = [_part(group, data, features, watts, examples, device) for group in groups]
    files = {
        f"{part['group'].name}-{figure.name}.{end}": text
        for part in parts
        for figure in part["figures"]
        for end, (text, _) in figure.files.items()
    }
    page = fill(
        "comparison/page.html.j2",
        parts=parts,
        runs=sum(len(group.runs) for group in groups),
        split=groups[0].split,
        colour=colour,
        mark=mark,
        address=address,
        version=version("saccade"),
        folder=folder.name,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in {path.name for path in folder.iterdir()} - files.keys():
        (folder / name).unlink()  # of an earlier comparison: `_folder` has refused all else
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    write_bytes(out, page.encode())
    return [out, *(folder / name for name in files)]


def _folder(out: Path) -> Path:
    """The folder of the numbers, refused before the work begins."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise BadConfig("the page must be an HTML file", location=out, hint="Give -o NAME.html.")
    folder = out.with_suffix("")
    if folder.exists() and not folder.is_dir():
        raise BadData("is a file", location=folder, hint="Give the page another name with -o.")
    inside = folder.iterdir() if folder.exists() else ()
    strange = [path.name for path in inside if not OURS.fullmatch(path.name)]
    if strange:
        message = f"holds other things than a comparison's numbers, such as {sorted(strange)[0]}"
        raise BadData(message, location=folder, hint="Give the page another name with -o.")
    return folder


def _part(
    group: Group, data: Path | None, features: str | None, watts: float, examples: int, device: str
) -> dict[str, Any]:
    """The figures of one group, by the names that the page has for them."""
    # The data folder that the group was scored on; else why there is none.
    folder, why = None, "no run says where its data is"
    places = [data] if data else []
    places += [Path(run.data) for run in group.runs if run.data]
    for place in dict.fromkeys(places):
        try:
            found = DataFolder(place)
        except SaccadeError as error:
            why = f"{place}: {error.message}"
            continue
        if found.fingerprint == group.data:
            folder, why = found, ""
            break
        why = f"{place} holds other data than the runs were scored on"
    source = folder.about["source"] if folder is not None else f"data {group.data[:8]}"
    tables = (ranking, bars, significance, seeds, baselines, types)
    first = (make(group) for make in track(tables, "tables"))
    details = [metrics(group), curves(group), *epochs(group), *confidence(group)]
    details += [cost(group, watts), labels(group)]
    shown: tuple[Figure | None, list[Section]] = None, []
    if folder is not None and examples:
        shown = gallery(group, folder, examples, device, features)
    above, below = ([one for one in some if one is not None] for some in (first, details))
    return {
        "group": group,
        "title": f"{group.info.predictions.capitalize()} on {source}, {group.split} split",
        "first": above,
        "examples": shown[0],
        "sections": shown[1],
        "no_examples": why if examples else "",
        "details": below,
        "figures": [*above, *([shown[0]] if shown[0] else ()), *below],
    }
