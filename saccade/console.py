"""Where the person who waits looks: stderr, whose lines programs do not read."""

from rich.console import Console


def console() -> Console:
    """A console on stderr that neither breaks nor colours what it prints of itself."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str, style: str | None = None) -> None:
    """Print a line; a bar that stands there moves out of its way."""
    console().print(line, style=style, markup=False)
