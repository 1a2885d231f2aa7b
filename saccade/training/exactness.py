"""Conditions under which equal settings give equal weights, bit for bit."""

from importlib.metadata import version

import torch


def conditions_on(device: torch.device, processes: int = 1) -> dict[str, str]:
    """The conditions of a training on a device, by the names that a person is told.

    Sums of floating point numbers depend on their order, which another number of threads, other
    instructions of the CPU, another GPU and other versions of the libraries all change.
    """
    is_gpu = device.type == "cuda"
    several = {"processes": str(processes)} if processes > 1 else {}
    return {
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "threads of torch": str(torch.get_num_threads()),
        "instructions of the CPU": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        **several,
    }
