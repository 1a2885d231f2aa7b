"""The device that a model runs on."""

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
