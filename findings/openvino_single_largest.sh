#!/bin/sh
# The likeliest of several equally likely answers, by the operator TopK with k = 1: onnxruntime gives the
# first of them, OpenVINO another one; with k = 3 both begin with the first.
#
# Packages: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, numpy 2.3.4 (Python 3.11, CPU).
# Guessed:  the lower index first in both, for every k; the operator's text asks for it.
# Seen:     values 1 3 3 2 3 0 3 3: onnxruntime 1 and 1, 2, 4; onnx's own reference evaluator the same;
#           OpenVINO 4 for k = 1, and 1, 2, 4 for k = 3. ArgMax gives 1 in all.
# Matters:  equal probabilities are no rarity: saturated float16 logits, zeros behind a mask, the prior of
#           an untrained head. Then the answer of one runtime is not the answer of the other, nor the
#           first of its own top three.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "openvino==2026.4.1" \
    "numpy==2.3.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

values = numpy.array([[1, 3, 3, 2, 3, 0, 3, 3]], numpy.float32)
core, seen = openvino.Core(), {}
for k in (1, 3):
    node = helper.make_node("TopK", ["x", "k"], ["values", "indices"])
    graph = helper.make_graph(
        [node],
        "likeliest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("indices", TensorProto.INT64, [1, k])],
        [helper.make_tensor("k", TensorProto.INT64, [1], [k])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    compiled = core.compile_model(core.read_model(data), "CPU")
    seen["onnxruntime", k] = session.run(None, {"x": values})[0][0].tolist()
    seen["reference", k] = ReferenceEvaluator(model).run(None, {"x": values})[0][0].tolist()
    seen["openvino", k] = compiled({"x": values})[0][0].tolist()
print(values[0].tolist(), seen)
for name in ("onnxruntime", "reference"):
    assert seen[name, 1] == [1] and seen[name, 3] == [1, 2, 4], f"changed: {name}"
assert seen["openvino", 3] == [1, 2, 4], "changed: OpenVINO, k = 3"
assert seen["openvino", 1] == [4], "changed: OpenVINO, k = 1"
PYTHON
echo "as stated"
