"""Tensors in safetensors files: written in one go, read without ever unpickling."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from saccade.core.errors import BadRun
from saccade.core.files import in_one_go


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors with a few words about them; a crash leaves the old file whole."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with in_one_go(path) as part:
        save_file(on_cpu, part, metadata=dict(metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a file and its metadata. Raises BadRun."""
    metadata = read_metadata(path)
    with _whole(path):
        return load_file(path), metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a file, and no tensor. Raises BadRun."""
    if not path.exists():
        hint = "Train first: saccade train RECIPE --data DATA --out RUN"
        raise BadRun("there are no weights yet", location=path, hint=hint)
    with _whole(path), safe_open(path, framework="pt") as stream:
        return stream.metadata() or {}


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise BadRun where the file that is read is damaged."""
    try:
        yield
    except SafetensorError as error:
        hint = "Copy it again from where it came, or train again."
        raise BadRun(f"not a whole safetensors file ({error})", location=path, hint=hint) from None


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
    epoch = read_metadata(run / "model.safetensors").get("epoch")
    return None if epoch is None else int(epoch)
