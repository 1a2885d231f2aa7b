"""The command that writes a run for programs without saccade: export."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from saccade.cli import app

commands = app.CommandTable()


@commands.command()
def export(
    run: app.RunArgument,
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    to: Annotated[Literal["onnx"], typer.Option(help="The format.")] = "onnx",
) -> app.Result:
    """Write a run as ONNX graphs, for programs without saccade and torch."""
    from saccade.api import export as write

    folder, differences, why = write(run, out, to)
    lines = [
        f"{name}.onnx: differs from the model by {off:.1e}" for name, off in differences.items()
    ]
    if why is not None:
        lines.append(f"No encoder: {why}.")
    data = {"folder": folder, "differences": differences, "without_encoder": why}
    return app.Result(data, [*lines, f"Written: {folder}"])
