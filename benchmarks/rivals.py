"""One other library's integer matrix product in its own process, timed when told to.

    python benchmarks/rivals.py onnxruntime|openvino

Reads names of cases from standard input, one a line, and answers each with a line of JSON:
{"wall": .., "cpu": ..}, seconds of one call on one thread. "list" names the cases. A case "call .."
is an operation that does nothing, through the same interface: what a call costs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

N, K = 1536, 576
ROWS = (1, 128)
Call = Callable[[], object]


def onnxruntime_cases() -> dict[str, Call]:
    import onnxruntime
    from onnx import TensorProto, helper

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    random = np.random.default_rng(0)

    def session(op: str, rows: int, kind: int, result: int, weights: dict, **attributes) -> Call:
        width = N if weights else K
        x = helper.make_tensor_value_info("x", kind, [rows, K])
        y = helper.make_tensor_value_info("y", result, [rows, width])
        names = {"Identity": ["x"], "MatMulInteger": ["x", "w"]}.get(op, ["x", "w", "scales"])
        domain = {"domain": "com.microsoft"} if op == "MatMulNBits" else {}
        node = helper.make_node(op, names, ["y"], **attributes, **domain)
        constants = [
            helper.make_tensor(name, code, array.shape, array.tobytes(), raw=True)
            for name, (code, array) in weights.items()
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph([node], "matmul", [x], [y], constants)
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        run = onnxruntime.InferenceSession(model.SerializeToString(), options)
        dtype = np.uint8 if kind == TensorProto.UINT8 else np.float32
        data = {"x": random.integers(1, 127, (rows, K)).astype(dtype)}
        return lambda: run.run(None, data)

    cases = {"call": session("Identity", 1, TensorProto.FLOAT, TensorProto.FLOAT, {})}
    for rows in ROWS:
        w8 = (TensorProto.INT8, random.integers(-127, 127, (K, N)).astype(np.int8))
        cases[f"MatMulInteger u8s8, {rows}"] = session(
            "MatMulInteger", rows, TensorProto.UINT8, TensorProto.INT32, {"w": w8}
        )
        for block in (32, 64):
            blocks = K // block
            codes = random.integers(0, 255, (N, blocks, block // 2)).astype(np.uint8)
            scales = random.random((N * blocks,)).astype(np.float32)
            weights = {"w": (TensorProto.UINT8, codes), "scales": (TensorProto.FLOAT, scales)}
            attributes = {"K": K, "N": N, "bits": 4, "block_size": block, "accuracy_level": 4}
            cases[f"MatMulNBits w4 g{block}, {rows}"] = session(
                "MatMulNBits", rows, TensorProto.FLOAT, TensorProto.FLOAT, weights, **attributes
            )
    return cases


def openvino_cases() -> dict[str, Call]:
    import openvino
    from openvino import opset13 as op

    core = openvino.Core()
    random = np.random.default_rng(0)

    def compiled(result, x, rows: int, group: int) -> Call:
        options = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        }
        model = core.compile_model(openvino.Model([result], [x]), "CPU", options)
        request = model.create_infer_request()
        request.set_input_tensor(openvino.Tensor(random.standard_normal((rows, K), np.float32)))
        return request.infer

    def product(rows: int, bits: int, group: int) -> Call:
        kind = openvino.Type.u4 if bits == 4 else openvino.Type.u8
        zero = 1 << (bits - 1)
        codes = random.integers(0, 2 * zero, (N, K // group, group)).astype(np.uint8)
        scales = random.random((N, K // group, 1)).astype(np.float32) / 100
        x = op.parameter([rows, K], np.float32)
        constant = op.constant(openvino.Tensor(pack(codes, bits), codes.shape, kind))
        real = op.convert(constant, np.float32)
        middle = op.convert(op.constant(np.full((1, 1, 1), zero, np.uint8)), np.float32)
        weights = op.multiply(op.subtract(real, middle), op.constant(scales))
        weights = op.reshape(weights, op.constant(np.array([N, K])), False)
        return compiled(op.matmul(x, weights, False, True), x, rows, group)

    x = op.parameter([1, K], np.float32)
    cases = {"call": compiled(op.relu(x), x, 1, 32)}
    for rows in ROWS:
        cases[f"w8 per row, {rows}"] = product(rows, 8, K)
        cases[f"w4 per row, {rows}"] = product(rows, 4, K)
        cases[f"w4 g32, {rows}"] = product(rows, 4, 32)
    return cases


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Two codes of 4 bits a byte, the first one low."""
    flat = codes.reshape(-1)
    return flat[::2] | flat[1::2] << 4 if bits == 4 else flat


def seconds(call: Call, least: float = 0.1) -> dict[str, float]:
    """Of one call, over as many as take `least` seconds of the processor."""
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.process_time() - cpu < least:
        for _ in range(16):
            call()
        count += 16
    return {
        "wall": (time.perf_counter() - wall) / count,
        "cpu": (time.process_time() - cpu) / count,
    }


SYSTEMS = {"onnxruntime": onnxruntime_cases, "openvino": openvino_cases}


def main() -> None:
    cases = SYSTEMS[sys.argv[1]]()
    for line in sys.stdin:
        name = line.strip()
        answer = list(cases) if name == "list" else seconds(cases[name])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
