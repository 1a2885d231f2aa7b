"""Help, listings, settings and cheap refusals: CPU seconds, and what was imported."""

import os
import sys

from proofs.yardstick import cpu_seconds, slowness

AT_MOST = 0.4
"""CPU seconds, as the next one, on the machine of `proofs.yardstick`."""
HELP_AT_MOST = 0.3
COMMANDS = (
    ("--help",),
    ("--version",),
    ("list", "recipes"),
    ("list", "models"),
    ("show", "show-attend-tell"),
    ("show", "show-atend-tell"),
    ("train", "show-atend-tell", "--data", "nowhere", "--out", "run"),
    ("train", "show-attend-tell", "--data", "nowhere", "--out", "run", "--set", "train.epoch=3"),
    ("train", "show-attend-tell", "--data", "nowhere", "--out", "run"),
    ("evaluate", "nowhere"),
    ("ask", "nowhere", "image.jpg", "What is it?"),
    ("extract", "nowhere", "--backbone", "timm:resnet50"),
)
CODE = """
import sys
from saccade.cli.main import main
try:
    main()
finally:
    assert "torch" not in sys.modules, "torch was imported"
"""
# An installed package has its bytecode; one that is compiled anew each time is no user's.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def prove() -> list[str]:
    """What is wrong, a sentence each; the figures are printed."""
    wrong, slow = [], slowness()
    for arguments in COMMANDS:
        seconds, done = cpu_seconds([sys.executable, "-c", CODE, *arguments])
        print(f"  {seconds:.2f} CPU s  saccade {' '.join(arguments)}")
        if seconds >= slow * (HELP_AT_MOST if arguments == ("--help",) else AT_MOST):
            wrong.append(f"saccade {' '.join(arguments)} takes {seconds:.2f} CPU s")
        if "Traceback" in done.stderr:
            wrong.append(f"saccade {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    seconds, _ = cpu_seconds([sys.executable, "-c", "import saccade.training.train"])
    print(f"  {seconds:.2f} CPU s  import saccade.training.train")
    if seconds > slow * 3.0:
        wrong.append(f"import saccade.training.train takes {seconds:.2f} CPU s")
    return wrong
