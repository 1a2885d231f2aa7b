"""Tensors in safetensors files: written in one go, read without ever unpickling."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from saccade.core.errors import BadRun
from saccade.core.files import in_one_go
from saccade.core.run_files import WEIGHTS, read_metadata, whole_tensors


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors with a few words about them; a crash leaves the old file whole.

    A SHA-256 of all of it stands in the same file, so that both are of one moment.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {**metadata, "sha256": _digest(on_cpu, metadata)}
    # One text, for a file of several has them in another order each time.
    words = {"about": json.dumps(about, sort_keys=True)}
    with in_one_go(path) as part:
        try:
            save_file(on_cpu, part, metadata=words)
        except SafetensorError as error:  # the disk is full; its number stands in the text only
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else 0
            raise OSError(code, os.strerror(code) if code else str(error), str(path)) from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a file and its metadata. Raises BadRun, also where one bit is another.

    Files of earlier versions have no SHA-256, and are not checked.
    """
    metadata = read_metadata(path)
    written = metadata.pop("sha256", None)
    with whole_tensors(path):
        tensors = load_file(path)
    if written not in (None, _digest(tensors, metadata)):
        message = "is damaged: its SHA-256 is not the one that was written into it"
        hint = "Copy it again from where it came, or train again."
        raise BadRun(message, location=path, hint=hint)
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of tensors on the CPU, their names, shapes and types, and the words about them."""

    def digest(tensor: Tensor) -> str:
        return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest()

    names = sorted(tensors)
    with ThreadPoolExecutor() as threads:  # hashing leaves Python's lock to the others
        digests = list(threads.map(digest, (tensors[name] for name in names)))
    shapes = [(str(tensors[name].dtype), list(tensors[name].shape)) for name in names]
    whole = [dict(metadata), names, shapes, digests]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def load_weights(model: nn.Module, path: Path, hint: str) -> None:
    """Fill a model from a file that holds all of its weights and no others. Raises BadRun."""
    weights, _ = load_tensors(path)
    expected = {name: value.shape for name, value in model.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    wrong = sorted({name for name, _ in expected.items() ^ found.items()})
    if wrong:
        message = f"{len(wrong)} weights do not fit the model, the first is {wrong[0]!r}"
        raise BadRun(message, location=path, hint=hint)
    model.load_state_dict(weights)


def kept_epoch(run: Path) -> int | None:
    """The epoch of the weights that a run folder keeps; None for a run that was imported."""
    epoch = read_metadata(run / WEIGHTS).get("epoch")
    return None if epoch is None else int(epoch)
