"""The command line: every command parses, calls one function and prints its result."""

from saccade.cli import data, evaluate, features, info, predict, train  # each adds its commands
from saccade.cli.app import app

__all__ = ["app", "data", "evaluate", "features", "info", "main", "predict", "train"]


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")
