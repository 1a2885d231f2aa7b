"""The command line: every verb parses, calls one function and prints what came of it.

The order of the modules below is the order of the verbs in `saccade --help`.
"""

from saccade.cli import making, storing, importing, using  # noqa: I001  isort would shuffle the verbs
from saccade.cli import comparing, moving, lookup
from saccade.cli.frame import app

__all__ = [
    "app",
    "comparing",
    "importing",
    "lookup",
    "main",
    "making",
    "moving",
    "storing",
    "using",
]


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")
