"""Imports of a package that was installed without its dependencies.

`load` imports one module of a package: the `__init__` files above it are not run, and what it
imports and is not installed is replaced by an object that takes any attribute, call or decoration
and does nothing. So only the package's own scoring code runs, and what it truly needs fails loudly.
"""

import builtins
import importlib
import sys
import types
from pathlib import Path
from typing import Any

_real_import = builtins.__import__


class StandIn(types.ModuleType):
    """A module, class, function or decorator that does nothing."""

    __all__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name)

    def __call__(self, *given: Any, **_named: Any) -> Any:
        """As a decorator it leaves what it decorates; else nothing comes back."""
        is_decorated = len(given) == 1 and isinstance(given[0], type | types.FunctionType)
        return given[0] if is_decorated else StandIn("called")

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        return ()

    def __getitem__(self, _key: Any) -> Any:
        return self

    def __or__(self, _other: Any) -> Any:
        return self

    __ror__ = __truediv__ = __or__


def load(folder: str, name: str) -> Any:
    """The module `name` of the package that was installed into `folder`."""
    if folder not in sys.path:
        sys.path.insert(0, folder)

        def for_packages(name: str, scope: Any = None, *given: Any, **named: Any) -> Any:
            try:
                return _real_import(name, scope, *given, **named)
            except ImportError:
                if not (scope or {}).get("__file__", "").startswith(folder):
                    raise  # an optional import of an installed library, which knows what to do
                return StandIn(name)

        vars(builtins)["__import__"] = for_packages
    parts = name.split(".")
    for n in range(1, len(parts)):
        above = ".".join(parts[:n])
        if above not in sys.modules:
            module = types.ModuleType(above)
            module.__path__ = [str(Path(folder, *parts[:n]))]
            sys.modules[above] = module
    return importlib.import_module(name)
