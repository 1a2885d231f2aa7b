"""Run the proofs that are named, or all; what was passed on these very files is not run again.

    python -m proofs                 all of them
    python -m proofs words instant   those two
    python -m proofs --again words   also where it was passed already

What was passed lies in `.proofs/NAME.json`, with a hash of the files that git knows: a stopped run
goes on with the next proof.
"""

import argparse
import hashlib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "words",
    "instant",
    "mistakes",
    "layouts",
    "feature_files",
    "capitals",
    "losses",
    "ray",
    "onnx",
    "onnx_example",
    "fuzz",
)
STATE = Path(".proofs")


def tree_hash() -> str:
    """A hash of the content of every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    whole = hashlib.sha256()
    for name in sorted(filter(None, listed)):
        path = Path(name.decode())
        if path.is_file():
            whole.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def main() -> int:
    """Run proofs; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--again", action="store_true", help="also what was passed already")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no proof {min(unknown)!r}; there are {', '.join(NAMES)}")
    tree, failed = tree_hash(), []
    for name in given.names or NAMES:
        state = STATE / f"{name}.json"
        if not given.again and state.exists() and json.loads(state.read_text())["tree"] == tree:
            print(f"{name}: passed already on these files")
            continue
        begin = time.monotonic()
        problems = importlib.import_module(f"proofs.{name}").prove()
        seconds = time.monotonic() - begin
        print(f"{name}: {'FAILED' if problems else 'passed'} in {seconds:.0f} s")
        for problem in problems:
            print(f"  {problem}")
        if problems:
            failed.append(name)
        else:
            STATE.mkdir(exist_ok=True)
            state.write_text(json.dumps({"tree": tree, "seconds": round(seconds, 1)}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
