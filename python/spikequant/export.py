"""GGUF file -> bundle: StableHLO graphs, weights, tokenizer and model.json (docs/Bundle.md)."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from . import bundle
from .errors import SpikeQuantError
from .gguf_llama import GgufModel, read_gguf
from .llama_graphs import LlamaConfig, LlamaGraph
from .tokenizer import TokenizerSettings, write_tokenizer

# (what is being done, steps done, steps in all)
Progress = Callable[[str, int, int], None]

ROLES = ("prefill", "score", "decode")


def export_gguf(
    gguf_path: str | Path,
    out_dir: str | Path,
    contexts: Sequence[int] = (256, 1024),
    chunk: int = 128,
    progress: Progress | None = None,
) -> Path:
    """Writes the bundle `out_dir` (replaced as a whole if it is a bundle already).

    `contexts` are the cache lengths of the buckets; `chunk` is the number of tokens that one
    prefill or score call takes. Raises SpikeQuantError; then nothing is left behind.
    """
    contexts = sorted(set(contexts))
    if not contexts or chunk < 1 or contexts[0] < chunk:
        raise SpikeQuantError(
            f"contexts {contexts} must be at least one chunk ({chunk} tokens) long each"
        )
    model = read_gguf(gguf_path)
    steps = len(contexts) * len(ROLES) + 2
    report = progress or (lambda *_: None)
    with bundle.replacing_bundle(Path(out_dir)) as folder:
        report("weights", 0, steps)
        _save_weights(dict(model.weights(contexts[-1])), folder / bundle.WEIGHTS)
        (folder / bundle.GRAPHS).mkdir()
        graphs = []
        for context in contexts:
            for role in ROLES:
                report(f"graph {role}_{context}", len(graphs) + 1, steps)
                graphs.append(_write_graph(folder, model.config, role, context, chunk, contexts))
        report("tokenizer", steps - 1, steps)
        settings = write_tokenizer(
            model.fields, model.config.vocabulary, str(model.path), folder / bundle.TOKENIZER
        )
        description = _description(model, settings, contexts, chunk, graphs)
        bundle.write_json(folder / bundle.MODEL, description)
        report("done", steps, steps)
    return Path(out_dir)


def _save_weights(weights: dict[str, np.ndarray], path: Path) -> None:
    try:
        save_file(weights, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _write_graph(
    folder: Path,
    config: LlamaConfig,
    role: str,
    context: int,
    chunk: int,
    contexts: Sequence[int],
) -> dict:
    name = f"{role}_{context}"
    tokens = 1 if role == "decode" else chunk
    file = f"{bundle.GRAPHS}/{name}.stablehlo.mlir"
    text = lower_graph(config, role, context, tokens, contexts[-1])
    (folder / file).write_text(text)
    return {
        "name": name,
        "role": role,
        "file": file,
        "context": context,
        "tokens": tokens,
        "arguments": _arguments(config, role, context, tokens, contexts[-1]),
        "results": _results(config, role, context, tokens),
    }


def lower_graph(config: LlamaConfig, role: str, context: int, tokens: int, max_context: int) -> str:
    """StableHLO text of one graph, with locations; the public function is called `main`."""
    graph = LlamaGraph(config, context, tokens)
    scalar = jax.ShapeDtypeStruct((), np.int32)
    ids = jax.ShapeDtypeStruct((tokens,), np.int32)
    weights = OrderedDict(
        (key, jax.ShapeDtypeStruct(shape, np.float32))
        for key, shape in config.weight_shapes(max_context).items()
    )
    k_shape, v_shape = _cache_shapes(config, context)
    k_cache = [jax.ShapeDtypeStruct(k_shape, np.float32)] * config.layers
    v_cache = [jax.ShapeDtypeStruct(v_shape, np.float32)] * config.layers
    scalars = (scalar,) if role == "decode" else (scalar, scalar)
    function = jax.jit(getattr(graph, role), keep_unused=True)
    with _short_locations():
        lowered = function.lower(ids, *scalars, weights, k_cache, v_cache)
        return lowered.compiler_ir("stablehlo").operation.get_asm(enable_debug_info=True)


@contextlib.contextmanager
def _short_locations() -> Iterator[None]:
    """One source line per operation, named from the package on: a bundle does not depend on where
    the package is installed or who calls it."""
    package = re.escape(str(Path(__file__).parent.parent)) + "/"
    options = {
        "jax_hlo_source_file_canonicalization_regex": package,
        "jax_traceback_in_locations_limit": 1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    try:
        for name, value in options.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _cache_shapes(config: LlamaConfig, context: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    k_shape = (config.kv_heads, config.head_width, context)
    return k_shape, (config.kv_heads, context, config.head_width)


def _arguments(
    config: LlamaConfig, role: str, context: int, tokens: int, max_context: int
) -> list[dict]:
    rows = [
        _value("tokens", (tokens,), "i32", kind="input"),
        _value("start", (), "i32", kind="input"),
    ]
    if role != "decode":
        rows.append(_value("count", (), "i32", kind="input"))
    for key, shape in config.weight_shapes(max_context).items():
        rows.append(_value(key, shape, "f32", kind="weight", weight=key))
    for index, (name, shape) in enumerate(_states(config, context)):
        rows.append(_value(name, shape, "f32", kind="state", result=index + 1))
    return rows


def _results(config: LlamaConfig, role: str, context: int, tokens: int) -> list[dict]:
    shape = (tokens, config.vocabulary) if role == "score" else (config.vocabulary,)
    rows = [_value("logits", shape, "f32", kind="output")]
    return rows + [_value(n, s, "f32", kind="state") for n, s in _states(config, context)]


def _states(config: LlamaConfig, context: int) -> list[tuple[str, tuple[int, ...]]]:
    k_shape, v_shape = _cache_shapes(config, context)
    layers = range(config.layers)
    return [(f"k_cache.{i}", k_shape) for i in layers] + [(f"v_cache.{i}", v_shape) for i in layers]


def _value(name: str, shape: Sequence[int], dtype: str, **more) -> dict:
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


def _description(
    model: GgufModel,
    tokenizer: TokenizerSettings,
    contexts: Sequence[int],
    chunk: int,
    graphs: list[dict],
) -> dict:
    config = model.config
    return {
        "format": bundle.FORMAT,
        "version": bundle.VERSION,
        "name": model.name,
        "architecture": "llama",
        "source": model.path.name,
        "hyperparameters": {
            **asdict(config),
            "rope_base": model.rope_base,
            "train_context": model.train_context,
        },
        "weights": bundle.WEIGHTS,
        "tokenizer": {"file": bundle.TOKENIZER, **asdict(tokenizer)},
        "chunk": chunk,
        "contexts": list(contexts),
        "graphs": graphs,
    }
