"""The command line: every verb parses, calls one function and prints what came of it."""

from saccade.cli import data, evaluate, features, info, predict, train  # each adds its verbs
from saccade.cli.app import app

__all__ = ["app", "data", "evaluate", "features", "info", "main", "predict", "train"]


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")
