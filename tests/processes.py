"""Work in a process of its own that need not import its libraries again: it is forked from here."""

import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import NoReturn


def forked(work: Callable[[], object]) -> CompletedProcess[str]:
    """Status and output of a child process that does some work.

    What the work patches, and the limits that it sets, end with the process. It must not compute
    gradients: PyTorch's threads for them do not survive a fork.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        with warnings.catch_warnings():  # Python 3.12 warns of other threads, which are idle
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _do(work, out.fileno(), errors.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read().decode())
    return CompletedProcess([], status, *texts)


def _do(work: Callable[[], object], out: int, errors: int) -> NoReturn:
    status = 1
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115  the process ends here
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
