"""The command line: every command parses, calls one function and prints its result."""

import os
import sys

from saccade.cli.app import app


def main() -> None:
    """Run the command line: the entry point of `saccade`."""
    # Plugins of pydantic would be searched for among all installed packages: 30 ms of a refusal.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # OpenMP's threads wait by spinning, and where other programs run, they wait for one that stands
    # still: a step took ten times as long. It is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the program was started without it (`>&-`)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    app(prog_name="saccade")
