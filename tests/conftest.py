"""Shared by all tests: threads, the patience of hypothesis, and the way to real data."""

import gc
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: workers share the cores
os.environ["SACCADE_LANG"] = "en"  # messages are those that the tests know
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import; no test may use the network

import pytest
from hypothesis import settings

# A busy machine is no defect; and what was right yesterday must not fail today by a lucky draw.
# SACCADE_FUZZ=1 draws anew each time, to look for what nobody has thought of.
fuzz = bool(os.environ.get("SACCADE_FUZZ"))
settings.register_profile("house", deadline=None, derandomize=not fuzz, database=None)
settings.load_profile("house")

ROOT = Path(__file__).parent.parent
SLOW = """
answers api baselines checkpoints cli compare compare_groups decode demo demo_folder
detector_on_photos
detectors download ensembles evaluate every_model every_recipe explain explanations export extract
faithfulness
feature_files golden_sets
import_checkpoint import_checkpoint_errors import_checkpoint_files import_checkpoint_pitvqa
import_features instant instant_refusals java_metrics long_json losses occlusion
one_stage_detectors pack page pitvqa_data pixels plugin predict predictions prepare recognise
documents scheduled_sampling score selection self_critical store store_damage store_kills stores
subwords
loggers hub
notebooks run_inputs
sweep teacher_forced train training_length transformer_networks
serve serve_hostile
viz weight_files word_vectors word_vectors_binary
""".split()  # noqa: SIM905
"""Files of tests that train, start processes, or take long; `make quick` leaves them out."""


def pytest_collection_finish():
    """What is there now stays: the collector of garbage need not walk over it again and again."""
    gc.freeze()


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.stem.removeprefix("test_")
        if name in SLOW or name.startswith("model_"):
            item.add_marker(pytest.mark.slow)


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
