"""The command line's frame: what all verbs share, and what happens when one does not end well.

Heavy imports stand inside the verbs, so `saccade --help` answers at once. A user's mistake is one
line on stderr and status 1; anything else that escapes is a defect of ours and keeps its trace.
"""

import errno
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from saccade.core.errors import SaccadeError
from saccade.core.formatting import table

STOPPED = 130
"""What a shell expects of a program that was interrupted: 128 and the signal's number."""
MAKE_ROOM = "Make room, then give the same command again."
ALLOW = "Give another path, or see that you may read and write there."
HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ALLOW),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), MAKE_ROOM),
    errno.ENAMETOOLONG: "Give a shorter path.",
    errno.ENOTDIR: "A part of that path is a file: give another path.",
}
"""What the system refuses and a user can mend, wherever a program comes upon it."""


ORDER = (
    *("demo", "download", "prepare", "frames", "extract", "import-features", "store"),
    *("train", "import-checkpoint", "evaluate", "compare", "ask", "caption", "explain"),
    *("pack", "unpack", "list", "show", "about"),
)
"""Of the verbs in `saccade --help`: as they follow each other in a project."""


class Verbs(TyperGroup):
    """All verbs, and what happens when one does not end well."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SaccadeError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno not in HINTS:
                raise
            what = os.strerror(error.errno).lower()
            typer.echo(f"error: {error.filename or 'disk'}: {what}. {HINTS[error.errno]}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo(f"\n{_how_to_go_on(sys.argv[1:])}", err=True)
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=Verbs,
    help="Ask images, caption images, and see where the model looked. Begin with: saccade demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def settings(
    weights: Annotated[
        Path | None,
        typer.Option(
            envvar="SACCADE_WEIGHTS",
            help="A folder of weights, words and vectors, looked into before any hub.",
        ),
    ] = None,
) -> None:
    """Ask images, caption images, and see where the model looked. Begin with: saccade demo"""
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
BeamOption = Annotated[int | None, typer.Option(min=1, help="Beams; by default the recipe's.")]
ChangesOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="May be repeated.")
]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="May be repeated.")
]
DeviceOption = Annotated[str, typer.Option(help="auto (the GPU if there is one), cpu or cuda.")]
ExplainOption = Annotated[
    Path | None, typer.Option(help="Also draw where the model looked, as this PNG file.")
]
OnFault = Literal["refuse", "drop", "keep"]


def _how_to_go_on(words: Sequence[str]) -> str:
    again = ["saccade", *words]
    if "train" in words[:3] and "--resume" not in words:
        again.append("--resume")
    return f"Stopped; nothing is half-written. Go on with: {shlex.join(again)}"


def say_next(*words: object) -> None:
    """Print the command to give next; what holds blanks is quoted."""
    typer.echo(f"Next: {shlex.join(['saccade', *map(str, words)])}")


def show_rows(rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns."""
    typer.echo(table(rows))
