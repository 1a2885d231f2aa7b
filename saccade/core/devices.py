"""The device that a model runs on, and how its memory is kept."""

import ctypes
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from saccade.core.errors import BadConfig

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
HINT = "Give --device auto (the GPU where there is one), cpu, cuda (NVIDIA's) or mps (Apple's)."


def check_device(name: str) -> None:
    """Raise BadConfig for what names no device anywhere, without importing torch."""
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not (kind == "cuda" and number.isdecimal())):
        raise BadConfig(f"{name!r} names no device", location="--device", hint=HINT)


def choose_device(name: str) -> "torch.device":
    """`auto` is the GPU where there is one. Raises BadConfig for a device that is not there."""
    import torch  # noqa: PLC0415  a wrong name is refused without it

    check_device(name)
    _keep_freed_memory()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):  # in words of torch's own, for its developers
        message = f"no {name} on this machine: GPUs that torch can use: {torch.cuda.device_count()}"
        hint = "Give --device cpu, or auto; `saccade about` prints what torch has found."
        raise BadConfig(message, location="--device", hint=hint) from None
    return device


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt` (malloc.h)."""


@cache
def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of large tensors instead of giving it back after each of them.

    By default a tensor above 128 KiB to 32 MiB is mapped by the kernel, page by page, every time
    that one is made: a third of the CPU time of a network on small batches.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library has no mallopt
            mallopt = ctypes.CDLL(None).mallopt
            # Releases before 2.35 take no more than half a heap of 64 MiB.
            mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
