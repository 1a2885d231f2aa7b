"""The command line: every command parses, calls one function and prints its result."""

import os
import sys

from saccade.cli.app import app


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    # A program that was started without them (`>&-`) has None, and writes to nowhere.
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open as long as it runs
    nothing = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = (
        sys.stdin or nothing,
        sys.stdout or nowhere,
        sys.stderr or nowhere,
    )
    app(prog_name="saccade")
