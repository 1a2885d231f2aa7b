"""What a beginner gets wrong is refused at once, by its cause, and with the way on."""

import json
import subprocess
import sys

import pytest

from proofs.mistakes import MISTAKES, make_place, try_it

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    root = tmp_path_factory.mktemp("mistakes")
    make_place(root)
    command = [sys.executable, "-m", "proofs.mistakes", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    light = [mistake for mistake in MISTAKES if not mistake.heavy]
    found = dict(zip(light, json.loads(done.stdout), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # in forks of this process, which has imported torch already
        return found | {mistake: try_it(mistake) for mistake in MISTAKES if mistake.heavy}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.command)
def test_it_is_refused_by_its_cause(refusals, mistake):
    refusal = refusals[mistake]
    said = " ".join(refusal["said"].split())
    assert refusal["error"] == mistake.error, said
    assert refusal["status"] == (2 if mistake.error == "Usage" else 1)
    assert mistake.named in said
    assert mistake.way in said
    assert "Traceback" not in said
    assert "test_resnet" not in said, "the demonstration's toy network is for no photos"
    assert mistake.heavy or not refusal["heavy"]
    if mistake.error != "Usage":
        assert refusal["said"].startswith("error: ")
        assert refusal["said"].count("\n") == 1


def test_nearly_all_need_no_torch():
    assert len(MISTAKES) >= 40
    assert sum(mistake.heavy for mistake in MISTAKES) * 8 <= len(MISTAKES)
