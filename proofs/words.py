"""None of the private words of earlier versions is a name of this package any more.

Looked at over the syntax tree: files, classes, functions, arguments, fields and settings, and the
commands and options of the command line. A word counts where it stands as a whole part of a name:
`begin_run` has `begin`, `beginning` has not. What may stay is listed with its reason.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

WORDS = """
picture pictures rise falls stairs inverse_root on_plateau l2 shrink longest shortest at_least
length_power no_repeat beams ban_unknown unknown_word clip_each per_picture stale smoothing material
gather fitting settle tend moment judge judged said sure truth ladder rung rungs luck looks trust
choice standings looked seen see gaze room frozen scripts telling quick begin complain what where
cure
""".split()  # noqa: SIM905  a list of a hundred quotes cannot be read
MAY_STAY = {
    "ground_truth": "the field's own word, of the right column",
    "no_repeat_ngram_size": "the field's own word, of the right column",
    "reduce_on_plateau": "the field's own word, of the right column",
    "label_smoothing": "the field's own word",
    "select_smoothing": "exponential smoothing is the field's own word",
    "on_message_begin": "a callback of the HTTP parser",
    "multiple_choice": "the field's own word",
    "longest_common_subsequence": "ROUGE-L is defined by it",
}
_PART = {word: re.compile(rf"(?:^|_){word}(?:_|$)") for word in WORDS}


def old_words(name: str) -> list[str]:
    """The private words that a name has as whole parts; CamelCase is taken apart."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
    for allowed in MAY_STAY:
        plain = plain.replace(allowed, "")
    return [word for word, part in _PART.items() if part.search(plain)]


def names_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, kind, name) of everything that a file names itself."""
    yield 0, "file", path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, "function", node.name
            arguments = node.args
            for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                yield one.lineno, "argument", one.arg
        elif isinstance(node, ast.ClassDef):
            yield node.lineno, "class", node.name
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.lineno, "field", part.target.id


def commands() -> Iterator[tuple[str, str]]:
    """(kind, name) of every command and option."""
    from typer import Context
    from typer.core import TyperGroup
    from typer.main import get_command

    from saccade.cli.app import app

    waiting = [("", get_command(app))]
    while waiting:
        path, command = waiting.pop()
        for option in command.params:
            for text in option.opts:
                yield f"option of {path or 'saccade'}", text.lstrip("-").replace("-", "_")
        if isinstance(command, TyperGroup):
            context = Context(command)
            for name in command.list_commands(context):
                yield "command", name.replace("-", "_")
                if inner := command.get_command(context, name):
                    waiting.append((f"{path} {name}".strip(), inner))


def prove() -> list[str]:
    """What is wrong, a sentence each."""
    found = [
        f"{path}:{line}: {kind} {name!r} says {', '.join(old)}"
        for path in sorted(Path("saccade").rglob("*.py"))
        for line, kind, name in names_of(path)
        if (old := old_words(name))
    ]
    return found + [
        f"{kind} {name!r} says {', '.join(old)}"
        for kind, name in commands()
        if (old := old_words(name))
    ]
