"""Starting the processes of a training on this machine, and ending all of them when one ends.

They get the variables that torchrun sets, so that training knows one kind of neighbours. torch's
own launcher starts and watches them.
"""

import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from saccade.core.console import stop_on_signal
from saccade.core.errors import BadConfig, BadRun, SaccadeError
from saccade.core.processes import Processes
from saccade.core.run_files import disk_errors_of

GRACE_SECONDS = 5.0
"""After one process has ended before its time, the others may so long end by themselves, and as
long again after SIGTERM."""
LOST = "a process of this training ended before its time"
GO_ON = "Go on from what was saved last: the same command with --resume."


def launch(
    processes: Processes, out: Path, work: Callable[..., dict[str, Any]], *given: Any, **named: Any
) -> dict[str, Any]:
    """Do some work in so many processes of this machine, and return what the first one returns.

    Raises what one of them raises, BadRun where one was killed, and KeyboardInterrupt where they
    were told to stop, once all have obeyed.
    """
    import torch.multiprocessing  # noqa: PLC0415  what can be refused is refused without it

    _refuse_unsendable(named)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it tells of kills
    told = get_context("spawn").SimpleQueue()
    threads = max(1, torch.get_num_threads() // processes.devices)
    child = partial(_run, meeting_place(processes), threads, sys.stdout is sys.stderr)
    arguments = told, out, partial(work, *given, **named)
    with stop_on_signal() as received:
        launcher: Any = torch.multiprocessing  # it has no types
        context = launcher.spawn(child, arguments, processes.devices, join=False)
        failed = _watch(context, received)
    answers = dict[int, Any]()
    while not told.empty():
        answers |= [told.get()]
    errors = [one for one in answers.values() if isinstance(one, SaccadeError)]
    for error in errors:
        if error.message != LOST:  # which is what the others say then
            raise error
    if received or any(one is None for one in answers.values()):
        raise KeyboardInterrupt
    if killed := getattr(failed, "signal_name", None):
        message = f"{LOST}: number {failed.error_index} of {processes.devices}, by {killed}"  # type: ignore[union-attr]
        raise BadRun(message, location=out, hint=GO_ON)
    for anything in (*errors, *([failed] if failed else ())):
        raise anything
    first: dict[str, Any] = answers[0]
    return first


def meeting_place(processes: Processes) -> dict[str, str]:
    """The variables of torchrun that all processes of this machine have alike."""
    place = {"MASTER_ADDR": "127.0.0.1"}
    if processes.nodes == 1:
        with socket.socket() as free:
            free.bind((place["MASTER_ADDR"], 0))
            place["MASTER_PORT"] = str(free.getsockname()[1])
    else:
        place = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")}
    return place | {
        "WORLD_SIZE": str(processes.size),
        "LOCAL_WORLD_SIZE": str(processes.devices),
        "GROUP_RANK": str(processes.rank // processes.devices),
        "TORCHELASTIC_RUN_ID": "saccade",
    }


def _run(
    place: dict[str, str],
    threads: int,
    to_stderr: bool,
    local_rank: int,
    told: Any,
    out: Path,
    work: Callable[[], Any],
) -> None:
    """Do the work as one of the processes, and tell its result, an error, or None if stopped."""
    import torch  # noqa: PLC0415

    rank = int(place["GROUP_RANK"]) * int(place["LOCAL_WORLD_SIZE"]) + local_rank
    os.environ.update(place, LOCAL_RANK=str(local_rank), RANK=str(rank))
    if "OMP_NUM_THREADS" not in os.environ:  # together they have those of one process
        torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if rank:
        warnings.simplefilter("ignore")  # the first process has said it
    try:
        with ExitStack() as around, disk_errors_of(out):
            if to_stderr:
                around.enter_context(redirect_stdout(sys.stderr))
            result = work()
        told.put((local_rank, result))
    except KeyboardInterrupt:
        told.put((local_rank, None))
    except SaccadeError as error:
        told.put((local_rank, error))
        sys.exit(1)


def _watch(context: Any, received: list[int]) -> Exception | None:
    """Wait for the processes; what the first one that failed has failed by, when all have ended.

    A signal to stop is passed on to each.
    """
    passed_on = False
    try:
        while not context.join(timeout=0.2, grace_period=GRACE_SECONDS):
            if received and not passed_on:
                passed_on = True
                for process in context.processes:
                    process.terminate()
    except Exception as error:  # of torch's two kinds: a signal or status, or a trace
        return error
    return None


def _refuse_unsendable(named: dict[str, Any]) -> None:
    """Raise BadConfig for loggers that another process cannot be given."""
    if not all(isinstance(one, str) for one in named.get("loggers", ())):
        message = "a logger that is a function cannot be given to the processes that train"
        raise BadConfig(message, location="loggers", hint="Name it: module:NAME.")
