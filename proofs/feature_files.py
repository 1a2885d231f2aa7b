"""Other programs' feature files and checkpoints: kind, made how, read with which result.

The tables and their checks are the tests': numbers of every feature file are compared with those
that its writer put in, logits of every checkpoint with those of the program's own network.
"""

import io
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from tests.test_feature_files import ENTRIES, bring, check, data_folder

AT_LEAST = 40
CHECKPOINTS = [f"tests/test_import_checkpoint{part}.py" for part in ("", "_pitvqa")]


class Results:
    """What became of each test of checkpoints, told as it ends."""

    def __init__(self) -> None:
        self.screen = sys.stdout
        self.passed: list[str] = []
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each part of a test."""
        if report.when != "call" and not report.failed:
            return
        name = report.nodeid.partition("::test_")[2].replace("_", " ")
        (self.failed if report.failed else self.passed).append(name)
        print(f"  {name:75}{report.outcome}", file=self.screen, flush=True)


def prove() -> list[str]:
    """What is wrong, a sentence each; the tables are printed."""
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        folder = data_folder(Path(made))
        for number, entry in enumerate(ENTRIES):
            home, name = Path(made) / f"entry-{number}", f"{entry.kind}, {entry.made}"
            home.mkdir()
            try:
                store, told = bring(folder, home, entry)
                check(folder, entry, store, told)
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
                print(f"  {name:58} FAILED")
                continue
            read, most = int((store.counts > 0).sum()), int(np.max(store.counts))
            result = f"{read} of {len(store.counts)} images, up to {most} x {store.header.dim}"
            notes = "; ".join(told[:-1])
            print(f"  {name:58} {result}{f'; {notes[:90]}' if notes else ''}", flush=True)
    results = Results()
    with redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-s", "-p", "no:cacheprovider", *CHECKPOINTS], plugins=[results])
    wrong += [f"checkpoint: {name}" for name in results.failed]
    print(f"  {len(ENTRIES)} feature files, {len(results.passed)} cases of checkpoints")
    if not results.passed or len(ENTRIES) < AT_LEAST:
        wrong.append(f"wanted are {AT_LEAST} feature files, and checkpoints")
    return wrong
