"""Shared by all tests: threads, the patience of hypothesis, and the way to real data."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: workers share the cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import; no test may use the network

import pytest
from hypothesis import settings

# A busy machine is no defect; and what was right yesterday must not fail today by a lucky draw.
# SACCADE_FUZZ=1 draws anew each time, to look for what nobody has thought of.
fuzz = bool(os.environ.get("SACCADE_FUZZ"))
settings.register_profile("house", deadline=None, derandomize=not fuzz, database=None)
settings.load_profile("house")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data():
    """Find a file or folder of the real data by name; the test skips where it is not there."""
    return _finder("SACCADE_REAL_DATA", ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def real_weights():
    """Find a file of real weights by name; the test skips where it is not there."""
    data = os.environ.get("SACCADE_REAL_DATA")
    beside = Path(data).parent if data else ROOT.parent / "shared"
    return _finder("SACCADE_REAL_WEIGHTS", beside / "weights")


def _finder(variable, usual):
    folder = Path(os.environ.get(variable, usual))

    def find(name):
        if not (folder / name).exists():
            pytest.skip(f"{name} is not in the folder that {variable} names")
        return folder / name

    return find
