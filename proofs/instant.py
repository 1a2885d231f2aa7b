"""Help, listings, settings and cheap refusals: CPU seconds, and what was imported."""

import os
import resource
import subprocess
import sys

AT_MOST = 0.4
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


def cpu_seconds(*arguments: str) -> tuple[float, str]:
    """CPU seconds of a command, the best of three, and what it wrote to stderr."""
    best, said = float("inf"), ""
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best, said = min(best, spent), done.stderr
    return best, said


def prove() -> list[str]:
    """What is wrong, a sentence each; the figures are printed."""
    wrong = []
    for arguments in COMMANDS:
        seconds, errors = cpu_seconds(*arguments)
        print(f"  {seconds:.2f} CPU s  saccade {' '.join(arguments)}")
        if seconds >= (HELP_AT_MOST if arguments == ("--help",) else AT_MOST):
            wrong.append(f"saccade {' '.join(arguments)} takes {seconds:.2f} CPU s")
        if "Traceback" in errors:
            wrong.append(f"saccade {' '.join(arguments)}: {errors.strip().splitlines()[-1]}")
    code = "import time, saccade.training.train; print(time.process_time())"
    done = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    print(f"  {min(done):.2f} CPU s  import saccade.training.train")
    if min(done) > 3.0:
        wrong.append(f"import saccade.training.train takes {min(done):.2f} CPU s")
    return wrong
