"""Tables of what has a name: literal lines of the house, and lines that other packages bring.

A package adds a line by an entry point in the table's group; it is imported when its name is asked
for, or when all names are listed. A line that cannot be used (a broken package, a name that is
taken) is told in one sentence and never stops the others.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from saccade.core.errors import BadConfig

Line = TypeVar("Line")


def load_object(reference: str) -> Any:
    """The object that `module:name` names, imported now.

    Raises:
        BadConfig: The module or the name in it does not exist.
    """
    module, _, name = reference.partition(":")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise BadConfig(
            f"{reference!r} cannot be imported: {error}",
            hint="Write it as package.module:NAME, and install the package that has it.",
        ) from None
    return found


class Table(Mapping[str, Line]):
    """A read-only mapping of names to lines, with those of installed plugins.

    `kind` is what a line is ("model"); `group` is the entry-point group of other packages. `check`
    raises ValueError for an object of a plugin that is no line of this table.
    """

    def __init__(
        self,
        kind: str,
        lines: Mapping[str, Line],
        group: str = "",
        check: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self.kind, self.group = kind, group
        self._lines = dict(lines)
        self._check = check
        self._problems: dict[str, str] = {}

    def __getitem__(self, name: str) -> Line:
        if name in self._lines:
            return self._lines[name]
        if (line := self._from_plugin(name)) is None:
            raise KeyError(name)
        return line

    def __iter__(self) -> Iterator[str]:
        yield from self._lines.copy()
        for name in self._offered:
            if name not in self._lines and self._from_plugin(name) is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._lines or (
            isinstance(name, str) and self._from_plugin(name) is not None
        )

    def look_up(self, name: str) -> Line:
        """The line of that name.

        Raises:
            BadConfig: There is none; the message has the nearest names, and why a plugin that
                offers the name cannot be used.
        """
        if name in self:
            return self[name]
        if name in self._problems:
            raise BadConfig(self._problems[name], hint="Mend or uninstall that package.")
        near = get_close_matches(name, list(self), n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise BadConfig(
            f"there is no {self.kind} {name!r}", hint=f"{hint}There are: {', '.join(sorted(self))}."
        )

    def problems(self) -> list[str]:
        """One sentence for each line of a plugin that cannot be used."""
        len(self)  # looks at every one
        return list(self._problems.values())

    @cached_property
    def _offered(self) -> dict[str, list[EntryPoint]]:
        """Entry points of installed packages by name; not imported yet."""
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group) if self.group else ():
            found.setdefault(point.name, []).append(point)
        for name in found.keys() & self._lines.keys():
            self._problems[name] = (
                f"the {self.kind} {name!r} of {_package(found[name][0])} is not used: saccade has "
                "one of that name"
            )
        return found

    def _from_plugin(self, name: str) -> Line | None:
        points = self._offered.get(name, ())
        if not points or name in self._problems:
            return None
        if len({point.value for point in points}) > 1:
            packages = " and ".join(sorted(map(_package, points)))
            self._problems[name] = f"the {self.kind} {name!r} is offered by {packages}: not used"
            return None
        try:
            line = points[0].load()
            self._check(line)
        except Exception as error:  # whatever a foreign package does must not stop the others
            self._problems[name] = (
                f"the {self.kind} {name!r} of {_package(points[0])} cannot be used: "
                f"{type(error).__name__}: {error}"
            )
            return None
        self._lines[name] = line
        return line  # type: ignore[no-any-return]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
