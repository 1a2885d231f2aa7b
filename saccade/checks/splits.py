"""Findings about splits: their sizes, and images that two of them share."""

from collections.abc import Iterator

from saccade.checks.catalogue import finding
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.data.checks import Finding
from saccade.data.folder import DataFolder
from saccade.data.parquet import answered

FEW = 100
"""Examples: below, the 95 % interval of an accuracy near 50 is wider than 20 points."""
FEW_IMAGES = 20


def check_sizes(folder: DataFolder, task: TaskName) -> Iterator[Finding]:
    """Whether there is enough to learn from, and enough to choose an epoch by."""
    kind = TASK_INFO[task].records
    train, val = folder.about["splits"]["train"][kind], folder.about["splits"]["val"][kind]
    if train < FEW:
        yield finding("few-examples", f"{train:,} {kind} are there to learn from", count=train)
    images: set[int] = set()
    if val:
        table = folder.record_table(task, "val")
        table = answered(table) if TASK_INFO[task].asks_question else table
        val, images = table.num_rows, set(table.column("image_id").to_pylist())
    if not val:
        yield finding("no-validation", f"split val has no {kind} to score by")
    elif val < FEW or len(images) < FEW_IMAGES:
        # Questions of an image are right and wrong together: its own count is the other end.
        narrow, wide = (min(196 / count**0.5, 100) for count in (val, len(images)))
        message = f"{val:,} {kind} of {len(images):,} images choose the epoch: the 95 % interval "
        width = " to ".join(dict.fromkeys((f"{narrow:.0f}", f"{wide:.0f}")))
        message += f"of an accuracy near 50 is {width} points wide"
        numbers = {"examples": val, "images": len(images), "narrow": narrow, "wide": wide}
        yield finding("small-validation", message, count=val, numbers=numbers)
