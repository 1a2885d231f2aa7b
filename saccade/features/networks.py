"""Types and helpers that the backbones of all libraries share; no library is imported here."""

import difflib
import hashlib
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saccade.core.errors import BadConfig, BadData
from saccade.core.formatting import first_line
from saccade.features.settings import BackboneSpec, Option

SEED = 0
"""Random weights are the same everywhere with the same version of torch."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WHOLE = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Entries of a checkpoint that hold all weights, in the order of preference (timm's)."""
WRAPPERS = re.compile(r"^(_orig_mod\.)?(module\.)?(_orig_mod\.)?")
"""What torch.compile and DataParallel put before the names of weights."""


class EncodedImages(NamedTuple):
    """A backbone's output for a batch of images."""

    regions: Tensor  # (B, R, D); real ones first
    counts: np.ndarray  # (B,) how many of them are real
    boxes: np.ndarray  # (B, R, 4) float32: x0 y0 x1 y1 as shares of the original image
    scores: np.ndarray | None = None  # (B, R) float32, of a detector
    grid: tuple[int, int] | None = None


class Layout(NamedTuple):
    """Shape of a backbone's regions."""

    grid: tuple[int, int] | None
    regions: int
    """Of an image, at most."""
    dim: int


class InputConfig(NamedTuple):
    """The input images that a network was trained on."""

    height: int
    width: int
    crop: float | None
    """The crop's share of an image's shorter side; None for a whole, squashed image."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    inside: float | None = None
    """For whole images with their proportions: the shorter side's share of the longest side."""


class Library(Protocol):
    """A module with the networks of one library."""

    def prepare(
        self, network: str, weights: str, options: Mapping[str, Option], size: int | None
    ) -> tuple[dict[str, Option], Path | None]:
        """The options that a network for images of `size` pixels is built with, and the weights
        file that a word or a path means (None for random).
        """

    def create_network(self, spec: BackboneSpec, file: Path | None) -> nn.Module:
        """The network, whose `forward_features` turns images into a grid or into tokens."""

    def input_config(self, spec: BackboneSpec) -> InputConfig:
        """The images that it was trained on."""


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Random weights that are always the same; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@contextmanager
def unreadable_weights(file: Path) -> Iterator[None]:
    """Raise BadData for whatever a reader of weights raises."""
    try:
        yield
    except (
        *(SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError),
        *(AttributeError, KeyError, TypeError, ValueError),
    ) as error:
        message = f"not a file of weights that can be read safely ({first_line(error, 200)})"
        rest = "a .pth may hold tensors only, in a plain dict or under `state_dict` or `model`."
        hint = f"Copy it again from where it came; {rest}"
        raise BadData(message, location=file, hint=hint) from None


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file. Nothing is unpickled but tensors and plain values.

    Raises BadData for a file that is damaged or holds anything else.
    """
    with unreadable_weights(file):
        if file.suffix == ".safetensors":
            found: Any = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
        found = next((found[name] for name in WHOLE if found.get(name) is not None), found)
        if strange := [name for name, one in found.items() if not isinstance(one, Tensor)]:
            raise TypeError(f"{strange[0]} is no tensor")
        return {WRAPPERS.sub("", name): value for name, value in found.items()}


def misfit(
    spec: BackboneSpec,
    file: Path,
    wanted: Mapping[str, Tensor],
    found: Mapping[str, tuple[int, ...]],
    error: str = "they differ",
) -> BadConfig:
    """The tensors of a file that are not the network's; `error` where names and shapes agree."""
    other = [
        f"{name} is {tuple(found[name])} in the file and {tuple(wanted[name].shape)} in the network"
        for name in wanted
        if name in found and tuple(found[name]) != tuple(wanted[name].shape)
    ]
    lists = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": other,
    }
    parts = [f"{len(x)} {kind} ({', '.join(x[:3])}{', ...' * (len(x) > 3)})"
             for kind, x in lists.items() if x]  # fmt: skip
    message = f"the file's tensors are not those of {spec.network}: {'; '.join(parts) or error}"
    hint = "Give the weights of this very network, or the --option values they were trained with"
    return BadConfig(message, location=file, hint=hint)


def no_network(library: str, kind: str, network: str, known: Sequence[str], rest: str) -> BadConfig:
    """A name that is not among those which a library knows; `rest` says which there are."""
    near = difflib.get_close_matches(network.partition(".")[0], known, cutoff=0.5)
    close = f"Near it: {', '.join(f'{library}:{one}' for one in near)}. " if near else ""
    return BadConfig(f"{library} has no {kind} {network!r}", hint=f"{close}{rest}")


def cannot_build(kind: str, options: Mapping[str, Option], error: Exception) -> BadConfig:
    """Options that a library does not build a network with."""
    given = ", ".join(f"{name}={value}" for name, value in options.items()) or "none"
    message = f"{kind} with options {given} ({first_line(error)})"
    return BadConfig(message, hint="Change or leave out --option.")


def digest_of(model: nn.Module) -> str:
    """SHA-256 over a network's tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
