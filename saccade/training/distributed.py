"""Processes that train one model together, and what they tell each other.

Each takes its part of every batch and has all weights; gradients are summed before each step, so
all take the same step. With one process nothing here does anything.

Why no `DistributedDataParallel` stands around the model: docs/decisions/0019.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from saccade.core.devices import choose_device
from saccade.core.errors import BadConfig, BadRun
from saccade.core.processes import DEVICES, Processes
from saccade.training.launch import GO_ON, LOST

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(days=7)
"""Others wait while the first process scores an epoch, however long it takes. That one has died is
seen by a closed connection, or by who started it."""

Result = TypeVar("Result")


class World:
    """The processes of a training, as the loop knows them."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """The group of processes exists already, where there are several."""
        self.rank, self.size = rank, size
        self.numbers: Any = None
        if size > 1 and distributed.get_backend() == "nccl":
            # Small numbers are on the host: through the GPU each would wait for its queue.
            self.numbers = distributed.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over all processes of numbers on the CPU."""
        if self.size > 1:
            with _lost_ones():
                distributed.all_reduce(numbers, group=self.numbers)
        return numbers

    def any(self, *wanted: bool) -> list[bool]:
        """Whether one process at least wants this, and that."""
        if self.size == 1:  # asked after every step
            return [*wanted]
        return [count > 0 for count in self.sum(torch.tensor(wanted, dtype=torch.int32)).tolist()]

    def from_all(self, own: Result) -> list[Result]:
        """What each process has, by rank."""
        if self.size == 1:
            return [own]
        found: list[Any] = [None] * self.size
        with _lost_ones():
            distributed.all_gather_object(found, own, group=self.numbers)
        return found

    def from_first(self, work: Callable[[], Result]) -> Result:
        """The result of some work that the first process alone does.

        What it raises, the others raise as BadRun, and leave the telling to it.
        """
        if self.size == 1:
            return work()
        found: list[Any] = [None, False]
        try:
            if self.is_first:
                found = [work(), True]
        finally:
            with _lost_ones():
                distributed.broadcast_object_list(found, src=0, group=self.numbers)
        if not found[1]:
            raise BadRun(LOST, hint=GO_ON)
        result: Result = found[0]
        return result

    def sum_gradients(self, model: nn.Module) -> None:
        """Give each weight the sum of its gradients over all processes, by one exchange.

        A weight without a gradient in any of them has none afterwards, as on one process: an
        optimiser leaves it alone, and would move it by its moments where the gradient were 0.
        """
        if self.size == 1:
            return
        weights = [one for one in model.parameters() if one.requires_grad]
        has_one = self.any(*(one.grad is not None for one in weights))
        weights = [one for one, has in zip(weights, has_one, strict=True) if has]
        given = [torch.zeros_like(one) if one.grad is None else one.grad for one in weights]
        flat = torch.cat([one.flatten() for one in given])
        with _lost_ones():
            distributed.all_reduce(flat)
        sums = flat.split([one.numel() for one in given])
        for weight, own, total in zip(weights, given, sums, strict=True):
            weight.grad = own.copy_(total.view_as(own))

    def same_state(self, *models: nn.Module | None) -> None:
        """Give models the weights and buffers that the first process has in them."""
        for model in models if self.size > 1 else ():
            for tensor in model.state_dict().values() if model is not None else ():
                with _lost_ones():
                    distributed.broadcast(tensor, src=0)

    def start(self, model: nn.Module, seed: int) -> None:
        """Give all processes the model of the first one, and each random numbers of its own: the
        dropout of one is not that of another."""
        self.same_state(model)
        if not self.is_first:
            torch.manual_seed(hash((seed, self.rank)) % 2**63)


@contextmanager
def _lost_ones() -> Iterator[None]:
    """Raise BadRun where a process that was to answer is there no more."""
    try:
        yield
    except RuntimeError as error:  # of gloo, and of NCCL
        raise BadRun(LOST, hint=GO_ON) from error


def make_fabric(device: torch.device, precision: Any, processes: Processes) -> "Fabric":
    """Fabric on one device, or on this process's one among those that train together."""
    # Imported here: it takes seconds, and all that can be refused is refused by now.
    from lightning_fabric import Fabric  # noqa: PLC0415
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: PLC0415
    from lightning_fabric.plugins.environments.torchelastic import (  # noqa: PLC0415
        TorchElasticEnvironment,
    )
    from lightning_fabric.strategies.ddp import DDPStrategy  # noqa: PLC0415

    if processes.size == 1:
        where = [device.index] if device.index is not None else 1
        return Fabric(accelerator=device.type, devices=where, precision=precision)

    class SummedGradients(DDPStrategy):
        """Processes and devices of DDP, without its wrapper around the model."""

        def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
            return module

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets
    environment = SLURMEnvironment if processes.running == "Slurm" else TorchElasticEnvironment
    fabric = Fabric(
        accelerator=device.type,
        devices=processes.devices,
        num_nodes=processes.nodes,
        precision=precision,
        strategy=SummedGradients(timeout=PATIENCE),
        plugins=environment(),
    )
    with _lost_ones():
        fabric.launch()
    return fabric


def device_of(name: str, processes: Processes) -> torch.device:
    """The device, or the kind of it of which each process has one.

    Raises BadConfig where this machine has fewer of them than processes.
    """
    device = choose_device(name)
    if processes.size == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        hint = "Give --device cuda or cpu."
        raise BadConfig(f"{device} is one device", location=DEVICES, hint=hint)
    if (there := torch.cuda.device_count()) < processes.devices:
        message = f"{processes.devices} processes need a GPU each, and torch can use {there} here"
        hint = "Give fewer --devices, or --device cpu; CUDA_VISIBLE_DEVICES may hide some."
        raise BadConfig(message, location=DEVICES, hint=hint)
    return torch.device("cuda", processes.local_rank)
