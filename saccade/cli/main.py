"""The command line: every verb parses, calls one function and prints what came of it.

The order of the modules below is the order of the verbs in `saccade --help`.
"""

from saccade.cli import making, importing, using, lookup  # noqa: I001  isort would shuffle the verbs
from saccade.cli.frame import app

__all__ = ["app", "importing", "lookup", "main", "making", "using"]


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")
