"""The device that a model runs on."""

import torch

from saccade.core.errors import BadConfig


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises BadConfig for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        message = f"no device {name!r} here ({str(error).splitlines()[0][:100]})"
        raise BadConfig(message, hint="Use --device auto, cpu or cuda.") from None
    return device
