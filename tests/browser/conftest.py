"""A browser, a server with small runs, and what must hold for every page that a test opens."""

import json
import shutil
import subprocess
import warnings

import pytest

from saccade.core.errors import SaccadeWarning
from saccade.data.folder import DataFolder
from saccade.datasets.prepare import prepare
from saccade.datasets.shapes import make_shapes
from saccade.features.extract import extract
from tests.worlds import write_untrained_run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FINDING = {
    "name": "exploding-gradient",
    "level": "warning",
    "message": "the gradient's norm was 40 times its mean",
    "hint": "Lower the learning rate",
    "count": 1,
    "examples": [],
    "cause": None,
    "numbers": {},
}


@pytest.fixture(scope="module")  # of a session, its running event loop would meet other tests' own
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here: make test-browser installs it")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, browser):
    """Run folders by name: untrained, but with all that the page shows."""
    root = tmp_path_factory.mktemp("page")
    make_shapes(root / "shapes", images={"train": 12, "val": 2, "test": 2}, seed=1)
    data = prepare("vqa-v2+karpathy", root / "shapes", root / "data")
    extract(data, "timm:test_resnet", weights="random", size=64, resize="squash")
    recipes = {
        "answers": "show-ask-attend-answer-small",
        "captions": "adaptive-attention-small",
        "boxes": "show-ask-attend-answer-small",
        "prior": "auto-vqa",
    }
    made = {
        name: write_untrained_run(DataFolder(data), recipe, root / name)
        for name, recipe in recipes.items()
    }
    row = dict.fromkeys(("loss", "score", "seconds", "seconds_scoring", "examples_per_second"), 1.0)
    row |= {"epoch": 1, "step": 9, "metric": "accuracy", "scores": {}, "findings": [FINDING]}
    (made["answers"] / "log.jsonl").write_text(json.dumps(row) + "\n")
    header = json.loads((made["boxes"] / "run.json").read_text())
    header["store"]["grid"] = None
    (made["boxes"] / "run.json").write_text(json.dumps(header))
    return made


@pytest.fixture(scope="module")
def address(runs):
    from tests.servers import make_service, running

    with warnings.catch_warnings():  # what a run was warned of, the page must tell
        warnings.simplefilter("ignore", SaccadeWarning)
        service = make_service(runs)
    with running(service) as server:
        yield server.address


@pytest.fixture(scope="module")
def axe(tmp_path_factory, browser):
    """The source of axe-core, which is not ours to keep: from npm, for this time."""
    folder = tmp_path_factory.mktemp("axe")
    command = (
        "npm install --ignore-scripts --no-audit --no-fund --no-save --fetch-retries=0 axe-core@4"
    )
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: no axe-core")
    (folder / "package.json").write_text("{}")
    done = subprocess.run(
        command.split(), cwd=folder, capture_output=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.skip("npm has no network: no axe-core")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def open_page(browser, address):
    """Opens the page in a browser of some kind; nothing may fail in it or leave its server."""
    contexts, wrong = [], []

    def open_page(at=address, ready=True, script="", **options):
        options = {"locale": "en-US", "reduced_motion": "reduce"} | options
        context = browser.new_context(**options)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if bad(message) else None)
        page.on("request", lambda one: None if own(one.url, at) else wrong.append(one.url))
        page.goto(at)
        if ready:
            page.wait_for_selector("#first option", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def bad(message):
    """A refusal of the server is no defect of the page; all else in the console is."""
    return message.type in {"error", "warning"} and "Failed to load resource" not in message.text


def own(url, address):
    return url.startswith((address.partition("#")[0], "blob:", "data:"))
