"""From a checkpoint's tensors to a model's: by names first, then shapes, and nothing is left over.

A `Source` says which published tensors make one of ours, and how: most are one tensor with another
name; gates may stand in another order, two matrices may be one here, a batch norm may be folded
into the layer behind it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saccade.checkpoints.torch_files import Saved
from saccade.core.errors import BadCheckpoint

Tensors = Mapping[str, Saved]

SHOWN = 4
"""So many names of each kind stand in an error."""


class Source(NamedTuple):
    """What one of our tensors is made of."""

    names: tuple[str, ...]
    """Published ones."""
    turn: Callable[..., Tensor] = lambda tensor: tensor
    """From the published tensors to ours."""


def sources(
    model: nn.Module, names: Mapping[str, str], but: Collection[str] = ()
) -> dict[str, Source]:
    """One published tensor for each of a model's `but` some: `names` is {published layer: ours}.

    A layer's longest name counts, and what lies below a named layer is named alike.
    """
    published = {ours: theirs for theirs, ours in names.items()}
    made = {}
    for key in model.state_dict():
        if key in but:
            continue
        parts = key.split(".")
        above = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        ours = next(name for name in above if name in published)
        made[key] = Source((f"{published[ours]}{key.removeprefix(ours)}",))
    return made


def require(tensors: Tensors, wanted: Mapping[str, Source], layout: str) -> None:
    """Check that the names are exactly those of a layout. Raises BadCheckpoint, listing all."""
    needed = [key for source in wanted.values() for key in source.names]
    missing = [key for key in dict.fromkeys(needed) if key not in tensors and not _optional(key)]
    unknown = sorted(tensors.keys() - set(needed))
    if missing or unknown:
        raise BadCheckpoint(
            f"its tensors are not those of {layout}: {_counted(missing, 'missing')}"
            f"{'; ' if missing and unknown else ''}{_counted(unknown, 'unknown')}",
            cure="Give the kind of checkpoint that it is, and the whole of it.",
        )


def fill(
    model: nn.Module, tensors: Tensors, wanted: Mapping[str, Source], layout: str
) -> dict[str, Tensor]:
    """Every tensor of a model, made of a checkpoint's, as float32. Raises BadCheckpoint for
    tensors of another shape, with both shapes, and where one would be left over.
    """
    require(tensors, wanted, layout)
    filled, wrong = {}, []
    for key, own in model.state_dict().items():
        source = wanted[key]
        if all(_optional(name) and name not in tensors for name in source.names):
            filled[key] = torch.zeros(own.shape, dtype=own.dtype)
            continue
        try:
            made = _shaped(source.turn(*(tensors[name].read() for name in source.names)), own.shape)
        except (RuntimeError, IndexError):  # gates that do not divide, widths that do not agree
            made = None
        if made is None:
            shapes = " and ".join(str(tensors[name].shape) for name in source.names)
            wrong.append(f"{' and '.join(source.names)} {shapes} where {tuple(own.shape)} fits")
        else:
            filled[key] = made.to(own.dtype).contiguous()
    if wrong:
        raise BadCheckpoint(
            f"{len(wrong)} tensors do not fit {layout}: {_listed(wrong)}",
            cure="Say with --set FIELD=VALUE what the file does not: `saccade show RECIPE`.",
        )
    return filled


def cut(tensors: Tensors, pattern: str) -> dict[str, Saved]:
    """Leave out the tensors whose whole name a pattern matches."""
    return {name: tensor for name, tensor in tensors.items() if not re.fullmatch(pattern, name)}


def below(tensors: Tensors, prefix: str) -> dict[str, Saved]:
    """The tensors whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def count(tensors: Collection[str], pattern: str) -> int:
    """How many different first groups a pattern finds at the beginnings of names."""
    return len({found[1] for name in tensors if (found := re.match(pattern, name))})


def gates_to_torch(tensor: Tensor) -> Tensor:
    """Rows in, forget, out, candidate -> torch's in, forget, candidate, out."""
    enter, keep, leave, candidate = tensor.tensor_split(4)
    return torch.cat([enter, keep, candidate, leave])


def side_by_side(*tensors: Tensor) -> Tensor:
    """Two layers over the same numbers as one."""
    return torch.cat(tensors)


def _shaped(tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """A tensor in a shape that differs by dimensions of size 1 only: a 1 x 1 convolution's matrix,
    a scalar in brackets. None where it does not.
    """
    same = [n for n in tensor.shape if n != 1] == [n for n in shape if n != 1]
    return tensor.reshape(shape) if same else None


def _optional(key: str) -> bool:
    """Does a file of an early torch lack it? A counter that only cumulative averages read."""
    return key.endswith("num_batches_tracked")


def _counted(names: list[str], what: str) -> str:
    return f"{len(names)} {what} ({_listed(names)})" if names else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
