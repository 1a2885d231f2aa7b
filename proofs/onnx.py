"""Every system, exported and compared with its model, at three sizes of everything.

With a folder in SACCADE_RUNTIMES (`pip install --target FOLDER openvino tract`) these run the same
graphs, each in a process of its own, and what differs is told; only onnxruntime's rows can fail.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

RUNTIMES = ("openvino", "tract")


def prove() -> list[str]:
    """Print the table; the problems are rows with a difference above the tolerance."""
    from saccade.core.errors import SaccadeError
    from saccade.interop.export_onnx import TOLERANCE, TRIED
    from tests import export_cases

    export_cases.read_the_registry_once()
    problems = []
    sizes = "  ".join("/".join(map(str, counts)) for counts in TRIED)
    print(f"system, regions, graph; difference at images/regions/words/beams {sizes}")
    with TemporaryDirectory() as folder:
        for case, (_, data, _) in export_cases.CASES.items():
            kind = "grid" if data.grid else "boxes"
            try:
                for name, found in export_cases.parity(case, Path(folder)):
                    numbers = "  ".join(f"{one:.1e}" for one in found.values())
                    print(f"{case:30} {kind:5} {name:5} {numbers}", flush=True)
                    if not max(found.values()) <= TOLERANCE:
                        problems.append(f"{case}, {name}: {max(found.values()):.1e}")
            except SaccadeError as error:
                print(f"{case:30} {kind:5} {error}", flush=True)
                problems.append(f"{case}: {error.message}")
        elsewhere = os.environ.get("SACCADE_RUNTIMES")
        for runtime in RUNTIMES if elsewhere else ():
            _elsewhere(runtime, str(elsewhere), Path(folder))
    return problems


def _elsewhere(runtime: str, packages: str, folder: Path) -> None:
    """Print how far another runtime is from the models."""
    from tests import export_cases

    for case in export_cases.CASES:
        for name, graph in export_cases.graphs_of(case).items():
            path = folder / f"{case.replace(', ', '-').replace(' ', '_')}.{name}.onnx"
            if not path.exists():
                continue
            rows = _rows(graph, path.with_suffix(".npz"))
            command = [sys.executable, "-c", RUN, packages, runtime, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            told = done.stdout.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
            told = json.loads(told[0]) if told[0].startswith("[") else told
            print(f"{runtime:9} {case:30} {name:5} {'  '.join(told)} ({rows} sizes)", flush=True)


def _rows(graph: object, path: Path) -> int:
    """Write inputs and wanted outputs for another process."""
    from saccade.interop.export_graphs import Graph
    from saccade.interop.export_onnx import TRIED

    assert isinstance(graph, Graph)
    arrays = {}
    for n, counts in enumerate(TRIED):
        given = graph.example(counts)
        with torch.no_grad():
            wanted = graph.module(*given)
        for name, one in zip(graph.inputs, given, strict=True):
            arrays[f"{n} in {name}"] = one.numpy()
        for place, one in enumerate(wanted):
            arrays[f"{n} out {place}"] = one.numpy()
    np.savez(path, **arrays)  # type: ignore[arg-type]  # of its other arguments
    return len(TRIED)


RUN = """
import json, sys
packages, runtime, path = sys.argv[1:]
sys.path.insert(0, packages)
import numpy as np
arrays, found = np.load(path.replace(".onnx", ".npz")), []
try:
    if runtime == "openvino":
        import openvino
        model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        run = lambda given: list(model(given).values())
    else:
        import tract
        model = tract.onnx().load(path).into_model().into_runnable()
        run = lambda given: [one.to_numpy() for one in model.run(list(given.values()))]
except Exception as error:
    print(json.dumps(["not read: " + " ".join(str(error).split())[:160]]))
    sys.exit()
for n in range(3):
    names = [name for name in arrays if name.startswith(f"{n} in ")]
    given = {name[5:]: arrays[name] for name in names}
    wanted = [arrays[name] for name in arrays if name.startswith(f"{n} out ")]
    try:
        pairs = zip(run(given), wanted)
        off = max(
            np.inf if a.shape != b.shape
            else float(np.abs(a.astype(float) - b.astype(float)).max(initial=0)) for a, b in pairs
        )
        found.append(f"{off:.1e}")
    except Exception as error:
        found.append("fails: " + " ".join(str(error).split())[:100])
print(json.dumps(found))
"""
"""Another runtime, in a process of its own: some end it on a graph that they do not know."""
