"""The application: what all commands share, and how errors end them.

Heavy imports stand inside the commands, so `saccade --help` answers at once. A user's mistake is
one line on stderr and status 1; anything else that escapes is a defect and keeps its trace.
"""

import errno
import os
import shlex
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_group

from saccade.core.errors import SaccadeError, SaccadeWarning
from saccade.core.formatting import table

STOPPED = 130
"""Exit status of an interrupted program: 128 and the signal's number."""
FREE_SPACE = "Free disk space, then give the same command again."
ALLOW = "Give another path, or see that you may read and write there."
HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ALLOW),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FREE_SPACE),
    errno.ENAMETOOLONG: "Give a shorter path.",
    errno.ENOTDIR: "A part of that path is a file: give another path.",
}
"""By error number: what a user can do about a refusal of the system."""


MODULES = {
    "demo": "train",
    **dict.fromkeys(("download", "prepare", "frames"), "data"),
    **dict.fromkeys(("extract", "import-features", "store"), "features"),
    **dict.fromkeys(("train", "import-checkpoint"), "train"),
    **dict.fromkeys(("evaluate", "compare"), "evaluate"),
    **dict.fromkeys(("ask", "caption"), "predict"),
    "explain": "explain",
    **dict.fromkeys(("pack", "unpack"), "data"),
    **dict.fromkeys(("list", "show", "about"), "info"),
}
"""Of each command: the module in this room that holds it, imported when the command is asked for.
In the order of `saccade --help`, in which they follow each other in a project."""


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
        typer.echo(f"note: {message}", err=True)
    else:
        _show_any_warning(message, category, filename, lineno, file, line)


class Commands(TyperGroup):
    """All commands; errors become one line on stderr and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*MODULES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # All of them for a name that is none: the nearest ones are suggested then.
        for name in [cmd_name] if cmd_name in MODULES else MODULES:
            if name not in self.commands:
                module = import_module(f"saccade.cli.{MODULES[name]}")
                self.commands.update(get_group(module.commands).commands)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except SaccadeError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno not in HINTS:
                raise
            message = os.strerror(error.errno).lower()
            location = error.filename or "disk"
            typer.echo(f"error: {location}: {message}. {HINTS[error.errno]}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            again = ["saccade", *sys.argv[1:]]
            again += ["--resume"] if "train" in again[1:4] and "--resume" not in again else []
            go_on = f"Stopped; nothing is half-written. Go on with: {shlex.join(again)}"
            typer.echo(f"\n{go_on}", err=True)
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


DataFolderArgument = Annotated[Path, typer.Argument(metavar="DATA", help="What prepare made.")]
DataFolderOption = Annotated[Path, typer.Option(help="The data folder, which prepare made.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="What train made.")]
ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")]
RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="See: saccade list recipes.")]
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


def say_next(*words: object) -> None:
    """Print the command to give next; what holds blanks is quoted."""
    typer.echo(f"Next: {shlex.join(['saccade', *map(str, words)])}")


def show_rows(rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns."""
    typer.echo(table(rows))
