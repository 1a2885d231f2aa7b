"""All that an exact resume needs, in one file: weights, moments, random state, progress."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.run_folder import load_tensors, save_tensors


def save_state(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: Mapping[str, Any]
) -> None:
    """Write everything an exact resume needs into one file: weights, moments, random state."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"progress": json.dumps(progress)})


def load_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Put back what `save_state` wrote, and return its progress."""
    tensors, about = load_tensors(path)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "random": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "optimiser":
            index, _, name = name.partition(".")
            moments.setdefault(int(index), {})[name] = value
        else:
            groups[kind][name] = value
    model.load_state_dict(groups["model"])
    settings = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": settings})
    for parameter, kept in optimiser.state.items():
        for name, value in kept.items():
            if value.ndim > 1:  # laid out as the weight is: fused steps rely on it
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    torch.set_rng_state(groups["random"]["cpu"])
    if "cuda" in groups["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(groups["random"]["cuda"])
    progress: dict[str, Any] = json.loads(about["progress"])
    return progress
