#!/bin/sh
# An LSTM and a GRU over questions of unequal length, with their lengths as `sequence_lens`: onnx's own
# reference evaluator reads the padding too.
#
# Packages: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, numpy 2.3.4 (Python 3.11, CPU).
# Guessed:  the same final states to 1e-5 in all three.
# Seen:     onnxruntime and OpenVINO agree to 1e-6. The reference evaluator gives what it gives without
#           lengths, bit for bit: for the questions that are shorter than the longest another state.
# Matters:  the evaluator is what exporters compare with to prove a graph right. A question encoder with
#           lengths fails that proof though the runtimes are right, and one that forgot its lengths
#           passes it.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

random, core = numpy.random.default_rng(0), openvino.Core()
words, questions, width, hidden = 6, 3, 4, 5
x = random.normal(size=(words, questions, width)).astype("float32")
lengths = numpy.array([6, 2, 4], "int32")


def encoder(kind, gates, with_lengths):
    """The last state of each question."""
    shapes = {"W": (1, gates * hidden, width), "R": (1, gates * hidden, hidden)}
    shapes["B"] = (1, 2 * gates * hidden)
    draw = numpy.random.default_rng(1)
    weights = [
        numpy_helper.from_array(draw.normal(size=shape).astype("float32"), name)
        for name, shape in shapes.items()
    ]
    names = ["x", "W", "R", "B", *(["lengths"] if with_lengths else [])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    if with_lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [questions]))
    node = helper.make_node(kind, names, ["", "state"], hidden_size=hidden)
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, questions, hidden])
    graph = helper.make_graph([node], "encoder", inputs, [state], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


for kind, gates in (("LSTM", 4), ("GRU", 3)):
    model, fed = encoder(kind, gates, True), {"x": x, "lengths": lengths}
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    right = session.run(None, fed)[0]
    compiled = core.compile_model(
        core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    other = compiled(fed)[0]
    reference = ReferenceEvaluator(model).run(None, fed)[0]
    without = ReferenceEvaluator(encoder(kind, gates, False)).run(None, {"x": x})[0]
    by_question = abs(reference - right).max(axis=(0, 2))
    print(kind, "openvino", float(abs(other - right).max()), "reference", by_question.tolist())
    assert abs(other - right).max() < 1e-5, "changed: onnxruntime or OpenVINO"
    assert by_question[0] < 1e-5, "changed: the longest question"
    assert by_question[1:].min() > 0.05, "changed: the reference evaluator keeps to the lengths"
    assert numpy.array_equal(reference, without), "changed: lengths make a difference"
PYTHON
echo "as stated"
