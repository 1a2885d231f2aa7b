"""Every source's sample, prepared as it comes: `saccade prepare DIR --out DATA`, no option."""

import tempfile
from pathlib import Path

from saccade.core.errors import SaccadeError
from saccade.data.folder import DataFolder
from saccade.data.records import SPLITS
from saccade.datasets.catalogue import SOURCES
from saccade.datasets.prepare import prepare
from tests.source_samples import SAMPLES

AT_LEAST = 45


def counts(folder: DataFolder) -> str:
    """Images, questions and captions of each split, as `48/96/0`; a dash where there are none."""
    splits = (folder.about["splits"][split] for split in SPLITS)
    each = ([split[kind] for kind in ("images", "questions", "captions")] for split in splits)
    return "".join(f"{'/'.join(map(str, c)) if any(c) else '-':>13}" for c in each)


def prove() -> list[str]:
    """What is wrong, a sentence each; the table is printed."""
    wrong, known = [], 0
    heads = "".join(f"{split:>13}" for split in SPLITS)
    print(f"  {'command':47}{heads}  recognised as   (images/questions/captions)")
    for name in SOURCES:
        with tempfile.TemporaryDirectory() as made:
            root, command = Path(made) / name, f"saccade prepare {name}/ --out DATA"
            SAMPLES[name](root)
            try:
                folder = DataFolder(prepare(None, root, Path(made) / "data"))
            except SaccadeError as error:
                wrong.append(f"{command}: {error}")
                print(f"  {command:47}{'':39}  refused")
                continue
            source = str(folder.about["source"])
            known += source == name
            print(f"  {command:47}{counts(folder)}  {source}", flush=True)
    print(f"  {known} of {len(SOURCES)} are recognised as themselves")
    if known < AT_LEAST:
        wrong.append(f"{known} layouts are recognised as themselves, wanted are {AT_LEAST}")
    return wrong
