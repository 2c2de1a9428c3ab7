"""StableHLO -> linalg: meaning kept, names and attributes set, errors clear."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from linalg_run import Library, count, verify
from llama_reference import logits as reference_logits
from stablehlo_eval import BundleRunner, evaluate
from tiny_gguf import TinyLlama, write_tiny

from spikequant import SpikeQuantError
from spikequant.export import export_gguf
from spikequant.importer import (
    UnsupportedOperationsError,
    import_bundle_graph,
    import_graph,
    make_context,
    parse,
)
from spikequant.stablehlo_rewrites import rewrite_concatenate, zero_base


def lower(function, *shapes, dtype=np.float32, **options) -> str:
    """StableHLO text of a JAX function."""
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    module = jax.jit(function, **options).lower(*arguments).compiler_ir("stablehlo")
    return module.operation.get_asm(enable_debug_info=True)


def import_string(tmp_path, text: str | bytes, **options) -> str:
    source = tmp_path / "graph.mlir"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    return import_graph(source, tmp_path / "out.mlir", **options).read_text()


# Concatenate


@pytest.mark.parametrize(
    ("shapes", "dimension"),
    [
        ([(3, 2), (3, 5)], 1),
        ([(2, 3), (1, 3), (4, 3)], 0),  # three operands, outer dimension
        ([(2, 3, 4)], 2),  # a single operand
        ([(2, 0, 3), (2, 2, 3)], 1),  # an empty operand
        ([(1,), (1,)], 0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_concatenate_rewrite_keeps_values(shapes, dimension, dtype):
    text = _concatenate(shapes, dimension, "f32" if dtype == np.float32 else "i32")
    random = np.random.default_rng(0)
    arguments = [random.integers(-9, 9, shape).astype(dtype) for shape in shapes]
    context = make_context()
    with context, ir.Location.unknown(context):
        module = parse(text.encode(), "test", context)
        (before,) = evaluate(module, arguments)
        assert rewrite_concatenate(module, zero_base) == 1
        assert module.operation.verify()
        assert "concatenate" not in str(module)
        (after,) = evaluate(module, arguments)
    np.testing.assert_array_equal(before, np.concatenate(arguments, dimension))
    np.testing.assert_array_equal(after, before)


def _concatenate(shapes: list[tuple], dimension: int, element: str) -> str:
    def type_of(shape) -> str:
        return f"tensor<{''.join(f'{size}x' for size in shape)}{element}>"

    result = list(shapes[0])
    result[dimension] = sum(shape[dimension] for shape in shapes)
    names = ", ".join(f"%a{i}" for i in range(len(shapes)))
    types = ", ".join(type_of(shape) for shape in shapes)
    declared = ", ".join(f"%a{i}: {type_of(shape)}" for i, shape in enumerate(shapes))
    return f"""func.func @main({declared}) -> {type_of(result)} {{
      %0 = stablehlo.concatenate {names}, dim = {dimension} : ({types}) -> {type_of(result)}
      return %0 : {type_of(result)}
    }}"""


def test_concatenate_becomes_insert_slices(tmp_path):
    text = import_string(tmp_path, _concatenate([(3, 2), (3, 5)], 1, "f32"))
    assert count(text, "tensor.insert_slice") == 2
    assert count(text, "scf.if") == count(text, "tensor.extract") == 0
    assert count(text, "tensor.empty") == 1 and count(text, "linalg.fill") == 0


def test_concatenate_of_dynamic_shape_is_left_alone():
    text = """func.func @main(%a: tensor<?xf32>, %b: tensor<2xf32>) -> tensor<?xf32> {
      %0 = stablehlo.concatenate %a, %b, dim = 0 : (tensor<?xf32>, tensor<2xf32>) -> tensor<?xf32>
      return %0 : tensor<?xf32>
    }"""
    context = make_context()
    with context, ir.Location.unknown(context):
        assert rewrite_concatenate(parse(text.encode(), "test", context), zero_base) == 0


# Whole graphs


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    tiny = TinyLlama(tied=False, seed=5)
    return tiny, export_gguf(write_tiny(folder / "m.gguf", tiny), folder / "out", (12,), 5)


@pytest.mark.parametrize("role", ["prefill", "score", "decode"])
def test_llama_graph_form(tiny_bundle, tmp_path, role):
    tiny, folder = tiny_bundle
    out = import_bundle_graph(folder, f"{role}_12", tmp_path / "g.mlir")
    text = verify(out)
    assert f"func.func public @{role}_12(" in text
    assert count(text, "linalg.matmul") == 7 * tiny.layers + 1
    assert count(text, "linalg.batch_matmul") == 2 * tiny.layers
    # Two cache updates and two halves each of q and k per layer.
    assert count(text, "tensor.insert_slice") == 6 * tiny.layers
    assert "stablehlo" not in text and "mhlo" not in text and "jax." not in text
    assert 'tensor<13x24xf32> {spikequant.weight = "blk.0.attn_q"}' in text
    assert '{spikequant.name = "k_cache.0", spikequant.state = 1 : i64}' in text
    assert '{spikequant.name = "v_cache.1", spikequant.state = 4 : i64}' in text
    assert 'tensor<i32> {spikequant.name = "start"}' in text
    assert 'xf32> {spikequant.name = "logits"}' in text
    assert "blk.1/ffn_down/dot_general" in out.read_text()


def test_imported_llama_computes_the_same(tiny_bundle, tmp_path):
    """The linalg text, compiled by upstream MLIR alone, against NumPy: prefill, score, decode."""
    tiny, folder = tiny_bundle

    def run(graph: dict, arguments: list[np.ndarray]) -> list[np.ndarray]:
        linalg = import_bundle_graph(folder, graph["name"], tmp_path / f"{graph['name']}.in.mlir")
        results = [(tuple(value["shape"]), np.dtype(np.float32)) for value in graph["results"]]
        return Library(linalg, tmp_path).call(graph["name"], arguments, results)

    tokens = [3, 36, 0, 7, 7, 19, 2, 11, 30]
    expected = reference_logits(tiny, tokens)
    runner = BundleRunner(folder, 12, run)
    tolerance = {"rtol": 0, "atol": 2e-5 * np.abs(expected).max()}
    np.testing.assert_allclose(runner.call("prefill", tokens[:5], 0), expected[4], **tolerance)
    np.testing.assert_allclose(runner.call("score", tokens[5:8], 5)[:3], expected[5:8], **tolerance)
    np.testing.assert_allclose(runner.call("decode", tokens[8:], 8), expected[8], **tolerance)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.concatenate([x, 2 * x, x[:, :1]], axis=1),
        lambda x: jax.nn.softmax(x @ x.T),
        lambda x: jax.nn.gelu(x, approximate=False),  # chlo.erf
        lambda x: x[jnp.array([2, 0])],
        lambda x: jnp.cumsum(x, axis=0),
        lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5),
    ],
    ids=["concatenate", "softmax", "gelu", "gather", "cumsum", "layernorm"],
)
def test_small_graphs_compute_the_same(tmp_path, function):
    import_string(tmp_path, lower(function, (3, 4)), name="f")
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    expected = np.asarray(function(x))
    library = Library(tmp_path / "out.mlir", build_folder(tmp_path))
    (actual,) = library.call("f", [x], [(expected.shape, expected.dtype)])
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def build_folder(tmp_path):
    (tmp_path / "build").mkdir()
    return tmp_path / "build"


def test_dot_forms(tmp_path):
    """Which operations contractions become: what site discovery has to know."""
    forms = {
        "linalg.matmul": lambda x, y: x @ y,
        "linalg.matvec": lambda x, y: x @ y[:, 0],
        "linalg.vecmat": lambda x, y: x[0] @ y,
        "linalg.dot": lambda x, y: x[0] @ y[:, 0],
    }
    for operation, function in forms.items():
        text = import_string(tmp_path, lower(function, (4, 4), (4, 4)))
        assert count(text, operation) == 1, operation
    transposed = lower(lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((), ()))), (4, 4), (4, 4))
    text = import_string(tmp_path, transposed)
    assert count(text, "linalg.generic") == 1 and '"reduction"' in text
    assert count(text, "linalg.matmul") == 0


# Entry function and attributes


def test_donated_arguments_are_state(tmp_path):
    text = lower(lambda x, cache: (x[0], cache + x), (4,), (4,), donate_argnums=1)
    text = import_string(tmp_path, text, name="step")
    assert "@step(%arg0: tensor<4xf32> loc" in text
    assert "%arg1: tensor<4xf32> {spikequant.state = 1 : i64}" in text


def test_given_attributes(tmp_path):
    rows = [{"spikequant.weight": 'a"b'}, {"spikequant.state": 0}]
    text = lower(lambda x, y: x + y, (4,), (4,))
    text = import_string(tmp_path, text, argument_attributes=rows)
    assert 'spikequant.weight = "a\\22b"' in text and "spikequant.state = 0 : i64" in text


def test_trailing_attributes_may_be_left_out(tmp_path):
    text = lower(lambda x, y: (x + y, x - y), (4,), (4,))
    rows = {"argument_attributes": [{"a.b": 1}], "result_attributes": [{"spikequant.name": "sum"}]}
    text = import_string(tmp_path, text, **rows)
    assert '-> (tensor<4xf32> {spikequant.name = "sum"}, tensor<4xf32>)' in text
    assert "%arg0: tensor<4xf32> {a.b = 1 : i64}" in text and "%arg1: tensor<4xf32> loc" in text


@pytest.mark.parametrize("which", ["argument", "result"])
def test_error_too_many_attributes(tmp_path, which):
    text = lower(lambda x: x + x, (4,))
    with pytest.raises(SpikeQuantError, match=f"has 1 {which}s, not 2 as described"):
        import_string(tmp_path, text, **{f"{which}_attributes": [{}, {}]})


_TWO = """
func.func {0} @{1}(%a: tensor<2xf32>) -> tensor<2xf32> {{
  %0 = call @g(%a) : (tensor<2xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}}
func.func @g(%a: tensor<2xf32>) -> tensor<2xf32> {{
  %0 = stablehlo.add %a, %a : tensor<2xf32>
  return %0 : tensor<2xf32>
}}"""


def test_main_is_the_entry_and_calls_are_inlined(tmp_path):
    text = import_string(tmp_path, _TWO.format("public", "main"), name="new_name")
    assert count(text, "func.func") == 1 and "@new_name" in text


def test_calls_within_calls_and_twice(tmp_path):
    text = """
    func.func @main(%a: tensor<3xf32>) -> tensor<3xf32> {
      %0 = call @twice(%a) : (tensor<3xf32>) -> tensor<3xf32>
      %1 = call @twice(%0) : (tensor<3xf32>) -> tensor<3xf32>
      return %1 : tensor<3xf32>
    }
    func.func private @twice(%a: tensor<3xf32>) -> tensor<3xf32> {
      %0 = call @inc(%a) : (tensor<3xf32>) -> tensor<3xf32>
      %1 = call @inc(%0) : (tensor<3xf32>) -> tensor<3xf32>
      return %1 : tensor<3xf32>
    }
    func.func private @inc(%a: tensor<3xf32>) -> tensor<3xf32> {
      %c = stablehlo.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
      %0 = stablehlo.add %a, %c : tensor<3xf32>
      return %0 : tensor<3xf32>
    }"""
    import_string(tmp_path, text, name="f")
    library = Library(tmp_path / "out.mlir", build_folder(tmp_path))
    (actual,) = library.call("f", [np.zeros(3, np.float32)], [((3,), np.float32)])
    np.testing.assert_array_equal(actual, [4, 8, 12])


def test_error_recursion(tmp_path):
    text = """func.func @main(%a: tensor<3xf32>) -> tensor<3xf32> {
      %0 = call @main(%a) : (tensor<3xf32>) -> tensor<3xf32>
      return %0 : tensor<3xf32>
    }"""
    assert_fails(tmp_path, text.encode(), "'main' calls itself")


def test_error_which_function(tmp_path):
    with pytest.raises(SpikeQuantError, match="2 public functions"):
        import_string(tmp_path, _TWO.format("public", "f"))


def test_name_defaults_to_the_function(tmp_path):
    assert "@main(" in import_string(tmp_path, lower(lambda x: x + x, (2,)))


# Formats and errors


def test_portable_artifact_and_text_agree(tmp_path):
    text = lower(lambda x: jax.nn.softmax(x @ x.T), (4, 4))
    artifact = stablehlo.serialize_portable_artifact_str(text, stablehlo.get_minimum_version())
    from_text = import_string(tmp_path, text, name="f")
    from_artifact = import_string(tmp_path, artifact, name="f")
    assert count(from_artifact, "linalg.matmul") == 1
    (tmp_path / "text.mlir").write_text(from_text)
    assert verify(tmp_path / "text.mlir") == verify(tmp_path / "out.mlir")


def assert_fails(tmp_path, data: bytes, message: str) -> SpikeQuantError:
    (tmp_path / "out.mlir").write_text("old")
    with pytest.raises(SpikeQuantError, match=message) as caught:
        import_string(tmp_path, data)
    assert (tmp_path / "out.mlir").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.mlir", "out.mlir"]
    return caught.value


def test_error_unsupported_operations_are_all_listed(tmp_path):
    def function(x):
        with jax.named_scope("spectrum"):
            y = jnp.abs(jnp.fft.rfft(x))
        with jax.named_scope("tail"):
            return jnp.abs(jnp.fft.rfft(y))

    error = assert_fails(tmp_path, lower(function, (4, 4)).encode(), "operation")
    assert isinstance(error, UnsupportedOperationsError)
    assert [op.name for op in error.operations].count("stablehlo.fft") == 2
    for op in error.operations:
        assert op.name in str(error) and op.location in str(error)
        assert f'"{op.name}"(' in op.form
    assert "tail/" in str(error) and "/fft at " in str(error) and "test_import.py" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not mlir at all",
        b"func.func @main(",
        b"\x00\xff\xfe",
        b"ML\xefR\x01\x02garbage",
        b"func.func @main(%a: tensor<2xf32>) -> tensor<3xf32> { return %a : tensor<2xf32> }",
    ],
    ids=["empty", "prose", "cut", "binary", "damaged_bytecode", "invalid"],
)
def test_error_not_a_module(tmp_path, data):
    assert_fails(tmp_path, data, "not a StableHLO module|is empty")


def test_error_truncated_artifact(tmp_path):
    text = lower(lambda x: x @ x, (4, 4))
    artifact = stablehlo.serialize_portable_artifact_str(text, stablehlo.get_minimum_version())
    assert_fails(tmp_path, artifact[: len(artifact) // 2], "not a StableHLO module")


def test_error_missing_file(tmp_path):
    with pytest.raises(SpikeQuantError, match=r"absent\.mlir: cannot be read"):
        import_graph(tmp_path / "absent.mlir", tmp_path / "out.mlir")
    assert not list(tmp_path.iterdir())


def test_error_unknown_graph_of_a_bundle(tiny_bundle, tmp_path):
    with pytest.raises(SpikeQuantError, match="no graph 'train_12': it has prefill_12"):
        import_bundle_graph(tiny_bundle[1], "train_12", tmp_path / "out.mlir")
