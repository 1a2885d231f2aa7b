"""The package as it is given away: the wheel, its requirements, the lock files and the image."""

import email
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked, with the package's metadata."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", place],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = place.glob("*.whl")
    with zipfile.ZipFile(built) as packed:
        packed.extractall(place / "site")
    return place / "site"


@pytest.fixture(scope="module")
def metadata(wheel):
    (found,) = wheel.glob("*.dist-info/METADATA")
    return email.message_from_string(found.read_text(encoding="utf-8"))


def test_all_files_of_the_package_are_in_the_wheel(wheel):
    def files(folder):
        names = (path.relative_to(folder).as_posix() for path in (folder / "saccade").rglob("*.*"))
        return {name for name in names if not re.search(r"__pycache__|\.pyc$", name)}

    assert files(wheel) == files(ROOT)
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == {
        "saccade"
    }


def test_the_wheel_works_without_the_source(wheel, tmp_path):
    code = "import sys, saccade; sys.argv = ['saccade', 'list', 'recipes'];" \
           "assert saccade.__file__.startswith(sys.path[1]), saccade.__file__;" \
           "from saccade.cli.main import main; main()"  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "show-attend-tell" in told.stdout


def test_its_metadata_leads_somewhere(metadata):
    readme = metadata.get_payload()
    assert readme.startswith("# ")
    links = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert links
    assert all(link.startswith(("https://", "#")) for link in links)
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert {canonicalize_name(name) for name in metadata.get_all("Provides-Extra")} == extras
    repository = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    urls = metadata.get_all("Project-URL") or []
    assert bool(urls) == bool(repository)
    assert all(repository in url for url in urls)


def test_links_of_a_readme_become_absolute():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (
        "[a](docs/a.md), [b](https://b.org/x), [c](#part), ![d](docs/d.png), "
        "[![e](e.png)](f.md#g), `x[1](2)`"
    )
    assert module.with_absolute_links(text, "https://host/us/it") == (
        "[a](https://host/us/it/blob/main/docs/a.md), [b](https://b.org/x), [c](#part), "
        "![d](https://host/us/it/raw/main/docs/d.png), "
        "[![e](https://host/us/it/raw/main/e.png)](https://host/us/it/blob/main/f.md#g), `x[1](2)`"
    )
    assert module.with_absolute_links(text, "").startswith("a, [b](https://b.org/x), [c](#part), ,")


def versions(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pins.items()}


def test_both_lock_files_have_what_the_project_needs():
    """And the older one has the floors themselves: no other versions were tried."""
    from packaging.version import Version

    oldest, newest = versions("oldest.txt"), versions("constraints.txt")
    project = PROJECT["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    for need in map(Requirement, chain(project["dependencies"], extras)):
        name = canonicalize_name(need.name)
        if name == "saccade":
            continue
        assert need.specifier.contains(newest[name]), need
        (floor,) = [one.version for one in need.specifier if one.operator == ">="]
        assert Version(oldest[name]).release[: len(Version(floor).release)] == (
            Version(floor).release
        ), need
        assert Version(oldest[name]) <= Version(newest[name]), need


def test_the_image_is_made_of_what_is_here():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    copied = [
        word for word, rest in steps if word == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    ]  # fmt: skip
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}\n" in kept, f"{name} is kept out by .dockerignore"
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "saccade"} < set(copied)
    bases = {rest.split()[0] for word, rest in steps if word == "FROM"}
    python = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert bases == {f"python:{python}-slim"}
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert all("-c constraints.txt" in one for one in installs)
    words = [word for word, _ in steps]
    assert words.index("USER") < words.index("CMD"), "it does not run as root"
    assert not any("TOKEN=" in rest for word, rest in steps if word in ("ENV", "ARG"))
