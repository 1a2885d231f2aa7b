"""Read a data set, verify it, and write it as a data folder: `saccade prepare`."""

from pathlib import Path

from saccade.data.checks import check
from saccade.data.folder import write_folder
from saccade.data.sources import read_source


def prepare(
    source: str,
    root: Path,
    out: Path,
    *,
    missing: str = "refuse",
    overlap: str = "refuse",
    **options: str,
) -> Path:
    """Make a data folder at `out` of the data set below `root`; returns `out`.

    `source` is a name of `data.sources.SOURCES`, or two joined by a plus that describe the same
    pictures ("vqa-v2+karpathy"); `options` are its reader's own, such as `images=FOLDER`.
    `missing` (pictures whose file is not there) and `overlap` (pictures in two splits) are
    "refuse", "drop" or "keep"; `data.checks.check` says what each does. An existing data folder
    is replaced, its features are kept. Raises BadData or BadConfig; what was found, but does not
    stop, stands in `dataset.json`.
    """
    root, out = Path(root), Path(out)
    collection, findings = check(
        read_source(source, root, **options), missing=missing, overlap=overlap
    )
    write_folder(out, collection, findings)
    return out
