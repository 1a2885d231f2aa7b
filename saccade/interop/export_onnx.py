"""A graph written as ONNX, and tried in onnxruntime.

An exporter writes what it saw: a length that it took for a constant stays one, without a word. So
each graph is run at three sizes, padding included, and compared with its module.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saccade.core.errors import BadConfig
from saccade.core.formatting import first_line
from saccade.interop.export_graphs import Counts, Graph

OPSET = 18
"""Softmax has another meaning before 13, which not every runtime knows."""
TOLERANCE = 1e-4
"""Of a difference, where numbers are 1 or less; of greater ones a share."""
ROUNDED_OTHERWISE = 0.01
"""Share of rounded numbers that may be neighbours: sums differ in their last bits."""
EXPORTED = Counts(3, 5, 4, 2)
TRIED = (Counts(1, 1, 1, 1), Counts(2, 9, 12, 3), Counts(5, 4, 3, 2))
LARGE = 2**31 - 2**24
"""Bytes of weights above which they stand in a file beside the graph: protobuf's limit is 2 GiB."""


def write_graph(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX. Raises BadConfig where torch cannot export the module."""
    inputs = graph.example(EXPORTED)
    names = {size for shape in graph.inputs.values() for size in shape if isinstance(size, str)}
    sizes = {name: torch.export.Dim(name, min=int(name != "earlier")) for name in names}
    shapes = [
        {n: sizes[size] for n, size in enumerate(shape) if isinstance(size, str)}
        for shape in graph.inputs.values()
    ]
    grouped = tuple(shapes)
    if any(name.startswith(("image_", "beam_")) for name in graph.inputs):  # words, and `*state`
        grouped = (shapes[0], tuple(shapes[1:]))  # type: ignore[assignment]
    weights = sum(one.nbytes for one in graph.module.state_dict().values())
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                graph.module.eval(),
                inputs,
                dynamo=True,
                dynamic_shapes=grouped,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
            cause = error.__cause__
            why = first_line(cause if isinstance(cause, Exception) else error, 200)
            message = f"torch cannot export it as {path.name} ({why})"
            hint = "Say so to whoever maintains the model: it has to be written otherwise."
            raise BadConfig(message, hint=hint) from error
        assert program is not None
        program.save(path, external_data=weights > LARGE)


def differences(graph: Graph, path: Path, session: Any = None) -> dict[Counts, float]:
    """The greatest difference between a graph and its module, at each of the sizes of `TRIED`.

    As a share of `TOLERANCE`'s meaning: numbers above 1 count by their size, and what is rounded
    otherwise, if it is rare, counts nothing. Raises BadConfig where the graph does not run.
    """
    if session is None:
        session = session_of(path)
    found = {}
    for counts in TRIED:
        given = graph.example(counts)
        with torch.no_grad():
            wanted = graph.module(*given)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        named = zip(graph.inputs, given, strict=True)
        try:
            outputs = session.run(None, {name: one.numpy() for name, one in named})
        except Exception as error:  # the library's own classes are not public
            message = f"{path.name} does not run on {counts.images} images ({first_line(error)})"
            raise BadConfig(
                message, hint="Its model depends on sizes; see docs/export.md."
            ) from None
        pairs = zip(map(torch.from_numpy, outputs), wanted, strict=True)
        found[counts] = max(_difference(one, other, graph) for one, other in pairs)
    return found


def _difference(found: Tensor, wanted: Tensor, graph: Graph) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.dtype == torch.bool or not wanted.numel():
        return float((found != wanted).any())
    off = (found - wanted).abs() / wanted.abs().clamp_min(1)
    off = off.nan_to_num(float("inf"))
    if graph.step is not None:
        neighbours = (found - wanted).abs() <= graph.step(wanted) * 1.001
        neighbours &= off > TOLERANCE
        if float(neighbours.float().mean()) <= ROUNDED_OTHERWISE:
            off = off.masked_fill(neighbours, 0)
    return float(off.max())


def session_of(path: Path) -> Any:
    """An onnxruntime session on the CPU."""
    runtime: Any = import_module("onnxruntime")  # of the extra: its types are not at hand
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def signature(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Inputs and outputs of a graph, as its file names them: name, type and shape."""
    session = session_of(path)
    both = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {
        kind: [{"name": one.name, "type": one.type, "shape": one.shape} for one in ends]
        for kind, ends in both.items()
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own remarks, which are meant for its developers."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
