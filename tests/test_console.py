"""The progress bar: on a terminal only, one at a time, and never in the way of an error."""

import io
import re

import pytest
from rich.console import Console

from saccade.core import console as module
from saccade.core.console import show_progress
from saccade.core.progress import open_bar, track


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns, as text."""
    to = io.StringIO()
    terminal = Console(file=to, force_terminal=True, width=80)
    monkeypatch.setattr(module, "console", lambda: terminal)
    return to


def test_a_bar_counts_what_is_tracked_inside(screen):
    with show_progress():
        assert list(track(iter("abcd"), "answering", total=4)) == list("abcd")
        for count, _ in enumerate(track(range(10), "baselines"), 1):
            open_bar.get().refresh()
            told = re.findall(r"baselines.* (\d+)%", screen.getvalue())
            assert int(told[-1]) == 10 * (count - 1)
    assert max(len(line) for line in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", screen.getvalue())
               .replace("\r", "\n").splitlines()) <= 80  # fmt: skip
    assert open_bar.get() is None


def test_outside_of_a_bar_nothing_is_shown(screen):
    """Training scores after each epoch, and has a bar of its own."""
    assert list(track([1, 2], "answering")) == [1, 2]
    assert screen.getvalue() == ""


def test_no_bar_where_there_is_no_terminal(monkeypatch):
    to = io.StringIO()
    monkeypatch.setattr(module, "console", lambda: Console(file=to))
    with show_progress():
        assert open_bar.get() is None
        assert list(track([1, 2], "answering")) == [1, 2]
    assert to.getvalue() == ""


def test_a_bar_inside_another_is_the_same_and_an_error_closes_it(screen):
    def broken():
        with show_progress():
            first = open_bar.get()
            with show_progress():
                assert open_bar.get() is first
            assert open_bar.get() is first
            for item in track([1, 2], "answering"):
                raise RuntimeError(item)

    with pytest.raises(RuntimeError):
        broken()
    assert open_bar.get() is None
