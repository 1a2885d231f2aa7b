"""Visual question answering and image captioning with the classic attention models.

`saccade.load(RUN)` opens a trained run; `saccade.api` has the functions behind the commands.
Importing this package imports no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.api import (
        advise,
        average,
        check,
        compare,
        ensemble,
        evaluate,
        explain,
        export,
        extract,
        faithfulness,
        from_pretrained,
        load,
        predict,
        prepare,
        push_to_hub,
        score,
        serve,
        sweep,
        train,
    )

__all__ = [
    "__version__",
    "advise",
    "average",
    "check",
    "compare",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "extract",
    "faithfulness",
    "from_pretrained",
    "load",
    "predict",
    "prepare",
    "push_to_hub",
    "score",
    "serve",
    "sweep",
    "train",
]

__version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("saccade")
    if name in __all__:
        from saccade import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
