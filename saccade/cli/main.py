"""The command line: every command parses, calls one function and prints its result."""

from saccade.cli.app import app


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    app(prog_name="saccade")
