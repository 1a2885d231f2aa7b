"""The losses of the first 20 steps of six recipes on Shapes, bit for bit.

    python -m proofs losses                       equal in two processes
    python -m proofs.losses --record FILE         write them
    python -m proofs.losses --against FILE        equal to those of another version on this machine

Both tasks, one model behind an encoder, one self-critical; seed 0, one thread. A change that should
not alter results is proved by recording before it and comparing after it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 20
ESTIMATED = 2
"""Steps that `train` tries on a copy before the first real one."""
CASES = {
    "show-ask-attend-answer-small": ("show-ask-attend-answer-small", "grid"),
    "joint-embedding-small": ("joint-embedding-small", "grid"),
    "ibowimg-small": ("ibowimg-small", "grid"),
    "show-attend-tell-small": ("show-attend-tell-small", "grid"),
    "with an encoder": (
        "show-attend-tell-small", "pixels",
        "--set", "encoder=timm:test_resnet", "--set", "encoder.weights=random",
    ),
    "self-critical": (
        "up-down-small", "grid",
        "--set", "train.self_critical=on", "--set", "train.batch_size=16", "--from", "begun",
    ),
}  # fmt: skip


def saccade(*words: object) -> None:
    """Give one command in this process."""
    from saccade.cli.main import main

    sys.argv = ["saccade", *map(str, words)]
    try:
        main()
    except SystemExit as left:
        if left.code not in (0, None, 130):
            raise


def record(folder: Path) -> dict[str, list[str]]:
    """The losses as hexadecimal floats, by case; Shapes and features are made in `folder`."""
    import torch

    from saccade.datasets.shapes import make_shapes

    torch.set_num_threads(1)
    make_shapes(folder / "shapes", images={"train": 200, "val": 40, "test": 40}, seed=0)
    data = folder / "data"
    saccade("prepare", "vqa-v2+karpathy", "--root", folder / "shapes", "--out", data)
    network = ("--backbone", "timm:test_resnet", "--weights", "random", "--size", 128)
    saccade("extract", data, *network, "--resize", "squash", "--name", "grid")
    pixels = ("--backbone", "pixels", "--size", 64)
    saccade("extract", data, *pixels, "--resize", "squash", "--name", "pixels")
    begun = ("--features", "grid", "--set", "train.epochs=1", "--device", "cpu")
    saccade("train", "up-down-small", "--data", data, "--out", folder / "begun", *begun)
    losses: list[str] = []
    backward = torch.Tensor.backward

    def heard(loss: torch.Tensor, *given: object, **named: object) -> None:
        losses.append(float(loss.detach()).hex())
        backward(loss, *given, **named)  # type: ignore[no-untyped-call, arg-type, unused-ignore]
        if len(losses) == ESTIMATED + STEPS:
            raise KeyboardInterrupt

    found = {}
    torch.Tensor.backward = heard  # type: ignore[assignment, method-assign]
    try:
        for number, (case, (recipe, store, *options)) in enumerate(CASES.items()):
            losses.clear()
            more = [folder / "begun" if word == "begun" else word for word in options]
            out = folder / f"run-{number}"
            given = ("--data", data, "--features", store, "--out", out, "--device", "cpu")
            # The watchdog tries a copy of the model first, whose losses are none of the run's.
            saccade("train", recipe, *given, *more, "--no-watchdog")
            found[case] = losses[ESTIMATED:]
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
    return found


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """A sentence for each case whose losses are not equal to the last bit."""
    if one.keys() != other.keys():
        return [f"other cases: {sorted(one.keys() ^ other.keys())}"]
    return [
        f"{case}: {sum(a != b for a, b in zip(one[case], other[case], strict=True))} of "
        f"{len(one[case])} losses differ"
        for case in one
        if one[case] != other[case]
    ]


def _in_a_process(out: Path) -> dict[str, list[str]]:
    given = [sys.executable, "-m", "proofs.losses", "--record", str(out)]
    subprocess.run(given, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[str, list[str]] = json.loads(out.read_text(encoding="utf-8"))
    return found


def prove() -> list[str]:
    """What is wrong, a sentence each."""
    with tempfile.TemporaryDirectory() as folder:
        one, other = (_in_a_process(Path(folder) / f"{n}.json") for n in (1, 2))
    return differences(one, other)


def main() -> int:
    """Record losses, or compare them with recorded ones."""
    parser = argparse.ArgumentParser(prog="python -m proofs.losses")
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("--against", type=Path, metavar="FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = record(Path(folder))
    if given.record:
        given.record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if given.against:
        problems = differences(json.loads(given.against.read_text(encoding="utf-8")), found)
        print("\n".join(problems) or "all losses are equal, bit for bit")
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
