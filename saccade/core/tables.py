"""Tables of what has a name: lines written here, and lines that other packages add.

A package adds a line by an entry point in the table's group. It is imported when its name is asked
for, or when all names are listed. A line that cannot be used (a broken package, a name that is
taken) is told in one sentence, a warning, and never stops the others.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from saccade.core.errors import BadConfig, SaccadeWarning

Line = TypeVar("Line")


def load_object(reference: str) -> Any:
    """The object that `package.module:NAME` refers to, imported now.

    Raises:
        BadConfig: The module cannot be imported, or has no such name.
    """
    module, _, name = reference.partition(":")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a foreign module may do anything when imported
        message = f"{reference!r} cannot be imported: {_in_one_line(error)}"
        hint = "Write package.module:NAME of a package that Python finds."
        raise BadConfig(message, hint=hint) from error
    return found


def optional_package(name: str, extra: str, message: str) -> Any:
    """A package that only `saccade[EXTRA]` installs. Raises BadConfig where it is not there."""
    try:
        return import_module(name)
    except ImportError:
        hint = f"Install it: pip install 'saccade[{extra}]'."
        raise BadConfig(message, hint=hint) from None


def require_package(name: str, extra: str, message: str) -> None:
    """Raise BadConfig where a package of `saccade[EXTRA]` is not installed; it is not imported."""
    if find_spec(name) is None:
        raise BadConfig(message, hint=f"Install them: pip install 'saccade[{extra}]'.")


class Table(Mapping[str, Line]):
    """A read-only mapping of names to lines, with those of installed plugins.

    Args:
        kind: What a line is, for messages, such as "model".
        lines: The lines written in this package, or `module:NAME` of one, which is imported when
            its name is asked for.
        group: The entry-point group in which other packages add lines; "" for a closed table.
        check: Raises an error for an object of a plugin that is no line of this table.
    """

    def __init__(
        self,
        kind: str,
        lines: Mapping[str, Line] | Mapping[str, str],
        group: str = "",
        check: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.kind, self.group = kind, group
        self._lines: dict[str, Line | str] = {**lines}
        self._check = check
        self._problems: dict[str, str] = {}

    def __getitem__(self, name: str) -> Line:
        if name not in self._lines:  # entry points are read only for a name that is not here
            self._add(name)
        line = self._lines[name]
        if isinstance(line, str):
            self._lines[name] = line = cast(Line, load_object(line))
        return line

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            self._add(name)
        return name in self._lines  # without importing the line

    def __iter__(self) -> Iterator[str]:
        for name in [*self._offered]:
            self._add(name)
        for problem in self._problems.values():  # Python shows equal warnings of one line once
            warnings.warn(f"{problem}.", SaccadeWarning, stacklevel=1)
        return iter([*self._lines])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def look_up(self, name: str) -> Line:
        """The line of that name.

        Raises:
            BadConfig: There is none; the message has the nearest names, or why the plugin that
                offers the name cannot be used.
        """
        if name in self:
            return self[name]
        if name in self._problems:
            raise BadConfig(self._problems[name], hint="Update or uninstall that package.")
        near = get_close_matches(name, list(self), n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        hint += f"There are: {', '.join(sorted(self))}."
        raise BadConfig(f"there is no {self.kind} {name!r}", hint=hint)

    @cached_property
    def _offered(self) -> dict[str, list[EntryPoint]]:
        """Entry points of installed packages by name, not imported yet."""
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group) if self.group else ():
            found.setdefault(point.name, []).append(point)
        for name in found.keys() & self._lines.keys():
            self._refuse(name, found.pop(name), "is not used: saccade has one of that name")
        return found

    def _add(self, name: str) -> None:
        """Add the line that a plugin offers under this name, if it can be used."""
        points = self._offered.pop(name, None)
        if points is None:
            return
        if len({point.value for point in points}) > 1:  # one package found twice is no conflict
            self._refuse(name, points, "is not used: only one package may offer a name")
            return
        try:
            line = points[0].load()
            self._check(line)
        except (Exception, SystemExit) as error:  # a foreign package may do anything
            self._refuse(name, points, f"cannot be used: {_in_one_line(error)}")
        else:
            self._lines[name] = line

    def _refuse(self, name: str, points: list[EntryPoint], why: str) -> None:
        packages = {point.dist.name if point.dist else point.value for point in points}
        whose = f"the {self.kind} {name!r} of {' and '.join(sorted(packages))}"
        self._problems[name] = f"{whose} {why}"


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
