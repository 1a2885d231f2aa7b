"""The rules of the house that no other tool checks."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "saccade").rglob("*.py"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = sorted(ROOT.glob("*.md")) + [path for path in PAGES if "made" not in path.parts]
SPEAKERS = {"run.py"}
"""Files whose business it is to talk to a person."""
REFUSED_NAMES = {"utils.py", "util.py", "common.py", "misc.py", "helpers.py", "base.py"}


def short(path):
    return str(path.relative_to(ROOT))


@cache
def nodes(path):
    """All of a file's syntax tree; several tests walk it."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def calls(path):
    """Every call in a file, as (dotted name, names of its keyword arguments, line)."""
    return [
        (ast.unparse(node.func), {word.arg: word.value for word in node.keywords}, node)
        for node in nodes(path)
        if isinstance(node, ast.Call)
    ]


def imports(path):
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_a_file_is_named_after_what_it_knows_and_a_function_fits_on_a_screen(path):
    assert path.name not in REFUSED_NAMES
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and path.parent.name != "saccade":
        assert not text, "packages have no front door but the first"
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno <= 62, f"{short(path)}: {node.name}"


UNPICKLERS = {
    "saccade/interop/torch_files.py": "Unpickler",
    "saccade/datasets/plain_pickle.py": "_Unpickler",
}
"""The one of checkpoints, and the one of plain values, in which nothing may be named at all."""


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_nothing_is_ever_unpickled(path):
    assert not {"cloudpickle", "dill", "joblib", "shelve", "marshal", "_pickle"} & {
        name.split(".")[0] for name in imports(path)
    }
    of_pickle = re.findall(r"\bpickle\.(\w+)|from pickle import", path.read_text(encoding="utf-8"))
    unpickler = UNPICKLERS.get(short(path))
    allowed = {"UnpicklingError", *([unpickler] if unpickler else [])}
    assert set(of_pickle) <= allowed
    for name, words, node in calls(path):
        location = f"{short(path)}:{node.lineno}"
        if name == "torch.load":
            assert ast.unparse(words.get("weights_only", ast.Constant(False))) == "True", location
        if name in {"np.load", "numpy.load"}:
            assert ast.unparse(words.get("allow_pickle", ast.Constant(True))) == "False", location
        assert name not in {"eval", "exec", "pd.read_pickle"}, location


@pytest.mark.parametrize(("path", "unpickler"), UNPICKLERS.items())
def test_every_unpickler_answers_every_name_itself(path, unpickler):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    named = [node for node in ast.walk(tree) if ast.unparse(node) == f"pickle.{unpickler}"]
    (kind,) = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and f"pickle.{unpickler}" in map(ast.unparse, node.bases)
    ]  # fmt: skip
    assert len(named) == 1, "its only use is as the base of that class"
    (find,) = [node for node in kind.body if getattr(node, "name", "") == "find_class"]
    used = {ast.unparse(node.func) for node in ast.walk(find) if isinstance(node, ast.Call)}
    assert not {"super", "__import__", "import_module", "getattr"} & used


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_only_the_rim_prints(path):
    if path.name not in SPEAKERS:
        assert "print" not in {name for name, _, _ in calls(path)}


@pytest.mark.parametrize("path", [*SOURCES, *TEXTS], ids=short)
def test_no_file_names_a_machine_or_promises_what_is_not_there(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(work|home|root|opt|Users)/", text)
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)


@pytest.mark.parametrize("path", TEXTS, ids=short)
def test_every_link_to_a_file_leads_to_one(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text):
        assert (path.parent / target).exists(), f"{short(path)} links to {target}"


def commands(path):
    """Lines of a text's shell blocks that call saccade, as lists of words."""
    for block in re.findall(r"```(?:sh|bash)\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "saccade":
                yield words[1:]


TYPED = [(path, words) for path in TEXTS for words in commands(path)]


def test_the_readme_shows_how_to_use_the_command_line():
    assert len([path for path, _ in TYPED if path.name == "README.md"]) >= 5


@pytest.mark.parametrize(
    ("path", "words"), TYPED, ids=[f"{short(p)}: {' '.join(w)}" for p, w in TYPED]
)
def test_every_command_in_the_texts_can_be_typed(path, words):
    from typer.main import get_command

    from saccade.cli.app import app

    name, *arguments = words
    if name.startswith("-"):
        return
    command = get_command(app).get_command(None, name)
    # It parses, and raises for an option that is not there.
    context = command.make_context(name, arguments)
    assert hasattr(command, "list_commands") or not context.args


def test_every_target_in_the_texts_is_in_the_makefile():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for path in TEXTS:
        for target in re.findall(r"`make ([a-z-]+)`", path.read_text(encoding="utf-8")):
            assert target in made, f"{short(path)} says `make {target}`"


def test_the_readme_lists_every_published_model_with_its_score():
    from saccade.models.catalogue import MODELS

    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    table = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    published = {name: entry for name, entry in MODELS.items() if entry.published}
    assert set(table) == set(published)
    for name, entry in published.items():
        assert entry.published in table[name]
        assert (f"docs/models/{name}.md" in table[name]) == (
            ROOT / "docs" / "models" / f"{name}.md"
        ).exists()


LIGHT = """
import sys
from saccade.cli.main import main
try:
    main()
finally:
    heavy = {"torch", "numpy", "pydantic", "matplotlib", "pyarrow", "sklearn"} & set(sys.modules)
    assert not heavy, heavy
"""


def test_help_imports_nothing_heavy():
    asked = subprocess.run(
        [sys.executable, "-c", LIGHT, "--help"], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert "demo" in asked.stdout


def test_importing_saccade_imports_no_torch():
    code = "import sys, saccade; assert saccade.__version__; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_map_the_contract_and_the_tree_show_the_same_rooms():
    """No room can be missing from ARCHITECTURE.md, and its floors are those that are checked."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    floors = {}
    for floor, rooms in re.findall(r"^\| (\d+) \| ((?:`\w+` ?)+)\|", text, re.M):
        floors.setdefault(int(floor), set()).update(re.findall(r"`(\w+)`", rooms))
    tree = {path.stem for path in (ROOT / "saccade").iterdir() if path.suffix == ".py"}
    tree |= {path.name for path in (ROOT / "saccade").iterdir() if (path / "__init__.py").exists()}
    assert set.union(*floors.values()) == tree
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    layers = [set(layer.split(" | ")) for layer in contract["layers"] if layer != "__main__"]
    mapped = [floors[floor] - {"__init__", "__main__"} for floor in sorted(floors)]
    assert layers == [rooms for rooms in mapped if rooms]


def test_every_floor_in_pyproject_has_a_tested_version_in_the_constraints():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    wanted = [Requirement(text) for text in project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += [Requirement(text) for text in extra]
    for need in wanted:
        if need.name != "saccade":
            assert need.specifier.contains(tested[canonicalize_name(need.name)]), need


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=\[;]", text)[0].lower() for text in project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        declared |= {re.split(r"[<>=\[;]", text)[0].lower() for text in extra}
    declared = {name.replace("_", "-") for name in declared}
    known_as = {"PIL": "pillow", "sklearn": "scikit-learn"}
    for path in SOURCES:
        for name in imports(path):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "saccade":
                assert known_as.get(top, top).replace("_", "-") in declared, (
                    f"{short(path)} imports {top}"
                )
