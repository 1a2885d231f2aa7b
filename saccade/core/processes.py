"""Processes that train one run together: how many there are, which one this is, who starts them.

Either `saccade train --devices N` starts them (`training.launch`), or they run already: under
torchrun, or under Slurm's srun. All of it stands in variables of the environment.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from saccade.core.errors import BadConfig

DEVICES = "--devices"


class Processes(NamedTuple):
    """The processes of a training, seen from one of them, or from the one that starts them."""

    devices: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines."""
    rank: int = 0
    """Number of this process among all; of one that starts others, that of its first one."""
    local_rank: int = 0
    """Number of this process among those of its machine."""
    running: str = ""
    """What has started them: "torchrun" or "Slurm"; nothing where this process is to do it."""

    @property
    def size(self) -> int:
        """How many there are."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0


def processes_around(environment: Mapping[str, str] = os.environ) -> Processes | None:
    """The processes that torchrun or srun started, this one among them; None where neither did.

    A job of Slurm without srun, and an srun with one task, is one process. Raises BadConfig where
    machines have different numbers of them.
    """
    if {"TORCHELASTIC_RUN_ID", "LOCAL_RANK"} <= environment.keys():
        size, devices = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
        rank, local_rank = int(environment["RANK"]), int(environment["LOCAL_RANK"])
        return Processes(devices, size // devices, rank, local_rank, "torchrun")
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks > 1:
        nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
        if tasks % nodes:
            hint = "Give srun --ntasks-per-node, as many as each machine has GPUs."
            message = (
                f"Slurm has started {tasks} tasks on {nodes} machines: not equally many on each"
            )
            raise BadConfig(message, location="srun", hint=hint)
        rank, local_rank = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
        return Processes(tasks // nodes, nodes, rank, local_rank, "Slurm")
    return None


def find_processes(devices: int | None, nodes: int | None) -> Processes:
    """The processes of a training that was told `devices` and `nodes`, 1 of each by default.

    Raises BadConfig for numbers that are none, that are others than those of processes that run
    already, or for several machines without what they need to find each other.
    """
    for option, number in ((DEVICES, devices), ("--nodes", nodes)):
        if number is not None and number < 1:
            raise BadConfig(f"{number} train nothing", location=option, hint="Give 1 or more.")
    if around := processes_around():
        asked = Processes(devices or around.devices, nodes or around.nodes)
        if asked[:2] != around[:2]:
            message = f"{around.running} has started {around.devices} processes on each of "
            message += (
                f"{around.nodes} machines, and {asked.devices} on {asked.nodes} are asked for"
            )
            hint = "Leave out --devices and --nodes: those that run are taken."
            raise BadConfig(message, location=DEVICES, hint=hint)
        return around
    asked = Processes(devices or 1, nodes or 1)
    if asked.nodes == 1:
        return asked
    lacking = {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} - os.environ.keys()
    node = os.environ.get("NODE_RANK", "")
    if lacking or not node.isdecimal() or int(node) >= asked.nodes:
        message = (
            f"the machines cannot find each other: {', '.join(sorted(lacking)) or 'NODE_RANK'}"
        )
        hint = "Set MASTER_ADDR and MASTER_PORT to a free port of the first machine, and NODE_RANK "
        hint += f"to 0..{asked.nodes - 1}; or start saccade by torchrun or srun."
        raise BadConfig(f"{message} is not set, or wrong", location="--nodes", hint=hint)
    return asked._replace(rank=int(node) * asked.devices)


def refuse_ensemble(processes: Processes, members: bool) -> None:
    """Raise BadConfig where several processes are to train the `members` of an ensemble."""
    if processes.size > 1 and members:
        hint = "Train each seed by itself, and join them: saccade ensemble RUN RUN --out OUT."
        message = "an ensemble is trained by one process"
        raise BadConfig(message, location=DEVICES, hint=hint)


def refuse_small_batches(batch_size: int, processes: Processes) -> None:
    """Raise BadConfig where a batch has no example for each process."""
    if batch_size < processes.size:
        message = f"a batch of {batch_size} has no example for each of {processes.size} processes"
        hint = f"Set train.batch_size to {processes.size} or more: it is of all of them together."
        raise BadConfig(message, location=DEVICES, hint=hint)
