"""How slow the machine is at this moment, beside the one on which the bars of CPU time were set."""

import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

REFERENCE = 1.9
"""CPU seconds of `import torch` there."""


def cpu_seconds(
    command: Sequence[str], rounds: int = 3, **options: Any
) -> tuple[float, "subprocess.CompletedProcess[str]"]:
    """User and system seconds of a command, the least of all rounds, and how the last one ended."""
    best = float("inf")
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command], capture_output=True, text=True, check=False, **options)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, spent)
    return best, done


def slowness() -> float:
    """CPU time of the same work now, as a multiple of that of the reference; printed."""
    seconds, _ = cpu_seconds([sys.executable, "-c", "import torch"])
    print(f"  {seconds:.2f} CPU s  import torch; {REFERENCE} where the bars were set")
    return seconds / REFERENCE
