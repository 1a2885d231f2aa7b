"""Ask images, caption images, and see where the model looked.

`saccade.load(RUN)` opens a trained run. Importing this package imports no torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.inference.predictor import Run

__all__ = ["__version__", "load"]

__version__: str


def load(run: str | Path, device: str = "auto") -> "Run":
    """Open a run folder, ready for `.ask(image, question)` or `.caption(image)`.

    `device` is "auto" (the GPU where there is one), "cpu" or "cuda". Raises `BadRun` where the
    folder is missing, incomplete or from a version that cannot be read.
    """
    from saccade.inference.predictor import load as open_run

    return open_run(run, device)


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("saccade")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
