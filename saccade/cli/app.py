"""The application: what all commands share, and how errors end them.

Heavy imports stand inside the commands, so `saccade --help` answers at once. A user's mistake is
one line on stderr and status 1; anything else that escapes is a defect and keeps its trace.
"""

import errno
import inspect
import json
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from saccade.core.errors import STOPPED, BadConfig, SaccadeError, SaccadeWarning
from saccade.core.formatting import printable, table
from saccade.core.language import error_line, translated

FREE_SPACE = "Free disk space, then give the same command again."
ALLOW = "Give another path, or see that you may read and write there."
HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ALLOW),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FREE_SPACE),
    errno.ENAMETOOLONG: "Give a shorter path.",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "A part of that path is a file: give another."),
    errno.EISDIR: "Give the path of a file.",
    errno.ELOOP: "Give a path without links that lead to themselves.",
    errno.EFBIG: "Allow larger files (ulimit -f), or write less at once.",
    **dict.fromkeys((errno.EIO, errno.ESTALE), "Check the disk, then give the same command again."),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Allow more open files (ulimit -n)."),
}
"""By error number: what a user can do about a refusal of the system."""


MODULES = {
    "demo": "train",
    **dict.fromkeys(("download", "prepare", "frames"), "data"),
    **dict.fromkeys(("extract", "import-features", "store"), "features"),
    "check": "check",
    **dict.fromkeys(("advise", "train", "average", "ensemble", "import-checkpoint"), "train"),
    **dict.fromkeys(("evaluate", "score", "compare", "sweep", "faithfulness"), "evaluate"),
    **dict.fromkeys(("ask", "caption", "predict"), "predict"),
    "explain": "explain",
    "serve": "serve",
    "export": "export",
    **dict.fromkeys(("pack", "unpack"), "data"),
    "push-to-hub": "hub",
    **dict.fromkeys(("list", "show", "about"), "info"),
}
"""Of each command: the module in this room that holds it, imported when the command is asked for.
In the order of `saccade --help`, in which they follow each other in a project."""


RESUMED = (
    *("train", "sweep", "extract", "import-features", "frames", "download", "pack", "unpack"),
    "predict",
)
"""Commands that go on where they were stopped when they are given again."""


def _how_to_go_on(ctx: Any) -> str:
    """The command to give after Ctrl-C or a termination, and whether it goes on or begins anew."""
    command, given = ctx.invoked_subcommand, sys.argv[1:]
    words = [part for word in given for part in word.split("=", 1)]
    out = next((after for word, after in pairwise(words) if word == "--out"), "")
    begun = Path(out, "run.json").exists() or any(Path(out).glob("members/*/run.json"))
    if command == "train" and "--resume" not in given and begun:
        given.append("--resume")
    goes_on = command in RESUMED or (command == "store" and "convert" in given)
    again = shlex.join(["saccade", *given])
    return f"Go on with: {again}" if goes_on else f"To do it again: {again}"


@contextmanager
def stop_on_termination() -> Iterator[None]:
    """SIGTERM, which systems and clusters send before they kill, stops a command like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # only there are signals heard
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def echo(line: str, *, err: bool = False) -> None:
    """Print a line for people, on stdout or stderr."""
    stream = sys.stderr if err else sys.stdout
    typer.echo(printable(line, stream.encoding or "utf-8"), err=err)


_show_any_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print our own warnings as notes on stderr, and others as Python does."""
    if issubclass(category, SaccadeWarning):
        echo(translated(f"note: {message}"), err=True)
    else:
        _show_any_warning(message, category, filename, lineno, file, line)


def _translate_help(command: Any) -> None:
    """Help in the user's language, of a command with its options, or of a group of them."""
    for one in (command, *command.params):
        if text := getattr(one, "help", None):
            one.help = translated(text)
    for inner in getattr(command, "commands", {}).values():
        _translate_help(inner)


class Commands(TyperGroup):
    """All commands; errors become one line on stderr and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*MODULES]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _translate_help(self)
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # All of them for a name that is none: the nearest ones are suggested then.
        for name in [cmd_name] if cmd_name in MODULES else MODULES:
            if name not in self.commands:
                module = import_module(f"saccade.cli.{MODULES[name]}")
                self.commands.update(get_group(module.commands).commands)
                _translate_help(self)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings(), stop_on_termination():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except SaccadeError as error:
            echo(error_line(error), err=True)
            raise typer.Exit(1) from None
        except TyperException as error:
            words = translated(error.format_message())
            error.format_message = lambda: words  # type: ignore[method-assign]
            raise
        except OSError as error:
            if error.errno not in HINTS:
                raise
            message = os.strerror(error.errno).lower()
            location = error.filename or "disk"
            echo(translated(f"error: {location}: {message}. {HINTS[error.errno]}"), err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            line = f"Stopped; nothing is half-written. {_how_to_go_on(ctx)}"
            echo(f"\n{translated(line)}", err=True)
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"saccade {version('saccade')}")
        raise typer.Exit


@app.callback()
def settings(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            envvar="SACCADE_WEIGHTS",
            help="A folder of weights, words and vectors, searched before any hub.",
        ),
    ] = None,
) -> None:
    """Visual question answering and image captioning with attention. Start with: saccade demo"""
    if weights is not None:
        os.environ["SACCADE_WEIGHTS"] = str(weights)


class Result(NamedTuple):
    """What a command found: values for programs, and lines for people."""

    data: Mapping[str, Any] | Sequence[Any]
    """What `--json` prints: mappings, lists, texts, numbers and paths. Where `lines` are made one
    by one, it may be filled with them."""
    lines: Iterable[str] = ()
    """What is printed without `--json`."""


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON; all else goes to stderr.")
]


class CommandTable(typer.Typer):
    """The commands of one module: each returns a Result, and takes `--json`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rich_markup_mode=None, **options)

    def command(  # type: ignore[override]  # a function without a Result is no command
        self, name: str | None = None, **options: Any
    ) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
        # Words too many are refused by us, in `_refuse_rest`.
        register = super().command(name, context_settings={"allow_extra_args": True}, **options)

        def add(function: Callable[..., Result]) -> Callable[..., Result]:
            register(_printing(function))
            return function

        return add


def _printing(function: Callable[..., Result]) -> Callable[..., None]:
    """A command as a function that prints its result; with `--json` nothing else on stdout."""

    @wraps(function)
    def command(*, as_json: bool, context: typer.Context, **given: Any) -> None:
        _refuse_rest(context, given)
        if not as_json:
            for line in function(**given).lines:
                echo(translated(line))
            return
        ended = None
        with redirect_stdout(sys.stderr):
            result = function(**given)
            try:
                for _ in result.lines:  # the work may be done while they are made
                    pass
            except typer.Exit as stopped:  # some failed, which was told; the others are the result
                ended = stopped
        typer.echo(json_text(result.data))
        if ended is not None:
            raise ended

    signature = inspect.signature(function, eval_str=True)
    given_by_name = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *signature.parameters.values(),
        inspect.Parameter("as_json", given_by_name, default=False, annotation=JsonOption),
        inspect.Parameter("context", given_by_name, annotation=typer.Context),
    ]
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    return command


def _refuse_rest(context: typer.Context, given: Mapping[str, Any]) -> None:
    """Raise BadConfig for words too many: most often those of a question, or of a path."""
    if not context.args:
        return
    arguments = [one for one in context.command.params if one.param_type_name == "argument"]
    last = [str(given[one.name]) for one in arguments[-1:] if one.name]
    words = " ".join([*last, *context.args])
    hint = f"Quote it: {shlex.quote(words)}" if last else "Leave that out."
    raise BadConfig(f"words too many: {' '.join(context.args)}", hint=hint)


def json_text(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """A result as JSON, in letters that stdout can write; paths are texts."""
    # JSON has no infinity, and no NaN: they are null.
    data = json.loads(json.dumps(data, default=_plain), parse_constant=lambda _: None)
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if printable(text, sys.stdout.encoding or "utf-8") != text:
        text = json.dumps(data, indent=2)
    return text


def _plain(value: Any) -> Any:
    """What JSON has no form for: a path as text, a number of numpy as a number."""
    return value.item() if hasattr(value, "item") else os.fspath(value)


def check_recipe(given: str | None) -> str | None:
    """The argument, if its name is a recipe's. Raises BadConfig before settings are imported."""
    if given is not None:
        from saccade.recipes.catalogue import check_name

        check_name(given)
    return given


DataFolderArgument = Annotated[Path, typer.Argument(metavar="DATA", help="What prepare made.")]
DataFolderOption = Annotated[Path, typer.Option(help="The data folder, which prepare made.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="What train made.")]
ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")]
RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="See: saccade list recipes.", callback=check_recipe)
]
FeaturesOption = Annotated[
    str | None, typer.Option(help="The feature store, where the data has several.")
]
BeamOption = Annotated[
    int | None, typer.Option(min=1, help="Beams of beam search; by default the recipe's.")
]
ChangesOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="May be repeated.")
]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="May be repeated.")
]
DeviceOption = Annotated[str, typer.Option(help="auto (the GPU if there is one), cpu or cuda.")]
LEVELS = ("error", "warning", "note")
"""Of the findings of `check`, the worst first."""
AllowOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FINDING", help="Let this finding pass. May be repeated."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Warnings stop it, as errors do.")]
ExplainOption = Annotated[
    Path | None, typer.Option(help="Also draw the model's attention into this PNG file.")
]

ExplainCaptionsOption = Annotated[
    Path | None,
    typer.Option(
        help="Also draw the attention of each word: into a folder with a page, or, of one image, "
        "into this PNG file."
    ),
]


def next_command(*words: object) -> str:
    """A line with the command to give next; what holds blanks is quoted."""
    return f"Next: {shlex.join(['saccade', *map(str, words)])}"


def train_command(data: Path, store: str, recipe: str | None = None) -> str:
    """A line with the command that trains on a store: `recipe`, or the one for any such data."""
    from saccade.data.folder import DataFolder

    name = recipe or "RECIPE"
    if not recipe and (data / "dataset.json").exists() and (tasks := DataFolder(data).tasks):
        name = f"auto-{tasks[0]}"
    out = f"runs/{Path(name).stem.rpartition(':')[2]}"
    return next_command("train", name, "--data", data, "--features", store, "--out", out)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines, in columns."""
    return table(rows).splitlines()
