"""All benchmarks, one process each: `python -m benchmarks`."""

import subprocess
import sys

NAMES = (
    "show_attend_tell",
    "show_ask_attend_answer",
    "joint_embedding",
    "san",
    "mcan",
    "captioners",
    "pitvqa",
    "beam_search",
    "metrics",
    "memory",
    "store",
    "predictions",
    "check",
    "devices",
)


def main() -> None:
    """Run them all; leave with status 1 when one missed a bar."""
    missed = [
        name
        for name in NAMES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if missed:
        print(f"missed a bar: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
