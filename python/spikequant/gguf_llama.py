"""Reads a GGUF file of the `llama` architecture: hyperparameters and f32 weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from .errors import SpikeQuantError
from .llama_graphs import LlamaConfig

_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_MISSING = object()


@dataclass(frozen=True)
class GgufModel:
    """An opened GGUF file. Tensors stay on disk until `weights` is asked for them."""

    path: Path
    config: LlamaConfig
    rope_base: float
    rope_linear_scale: float
    train_context: int
    name: str
    fields: dict
    tensors: dict

    def weights(self, max_context: int) -> Iterator[tuple[str, np.ndarray]]:
        """(key, f32 array) in argument order, in the layouts of `LlamaConfig.weight_shapes`."""
        cos, sin = self.rope_tables(max_context)
        for key, shape in self.config.weight_shapes(max_context).items():
            if key.startswith("rope."):
                array = cos if key == "rope.cos" else sin
            else:
                array = self._weight(key)
            if array.shape != shape:
                raise SpikeQuantError(
                    f"{self.path}: tensor for '{key}' has shape {list(array.shape)}, but the "
                    f"hyperparameters ask for {list(shape)}: the file is inconsistent"
                )
            yield key, np.ascontiguousarray(array)

    def rope_tables(self, max_context: int) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin of position * frequency, evaluated in f64 and rounded once to f32."""
        half = self.config.head_width // 2
        frequency = self.rope_base ** (-np.arange(half, dtype=np.float64) / half)
        frequency /= self.rope_linear_scale
        if "rope_freqs.weight" in self.tensors:
            frequency /= self._dequantised("rope_freqs.weight").astype(np.float64)
        angle = np.arange(max_context, dtype=np.float64)[:, None] * frequency
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def _weight(self, key: str) -> np.ndarray:
        name = key if key.endswith(".bias") else key + ".weight"
        array = self._dequantised(name)
        kind = key.split(".", 2)[-1]
        if kind.startswith("attn_q"):
            array = _undo_rope_permutation(array, self.config.heads)
        elif kind.startswith("attn_k"):
            array = _undo_rope_permutation(array, self.config.kv_heads)
        is_linear = array.ndim == 2 and key != "token_embd"
        return array.T if is_linear else array

    def _dequantised(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        try:
            return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        except NotImplementedError as error:
            raise SpikeQuantError(
                f"{self.path}: tensor '{name}' has type {tensor.tensor_type.name}, which the gguf "
                "package cannot dequantise: convert the file to another type"
            ) from error


def _undo_rope_permutation(array: np.ndarray, heads: int) -> np.ndarray:
    """GGUF stores the rows of q and k as (head, pair, 2); this gives (head, 2, pair)."""
    rows = array.shape[0]
    split = array.reshape(heads, rows // heads // 2, 2, *array.shape[1:])
    return split.swapaxes(1, 2).reshape(array.shape)


def read_gguf(path: str | Path) -> GgufModel:
    """Opens `path` and checks that it is a complete llama model that the exporter can build."""
    path = Path(path)
    fields, tensors = _open(path)
    architecture = fields.get("general.architecture")
    if architecture != "llama":
        raise SpikeQuantError(
            f"{path}: architecture '{architecture}' is not supported: only 'llama' is"
        )
    config = _config(path, fields, tensors)
    _check_tensors(path, config, tensors)
    return GgufModel(
        path=path,
        config=config,
        rope_base=float(fields.get("llama.rope.freq_base", 10000.0)),
        rope_linear_scale=_rope_scale(path, fields),
        train_context=int(_field(path, fields, "llama.context_length")),
        name=str(fields.get("general.name", path.stem)),
        fields=fields,
        tensors=tensors,
    )


def _open(path: Path) -> tuple[dict, dict]:
    """(metadata, tensors by name); the tensors' data stays a view of the file."""
    if not path.is_file():
        raise SpikeQuantError(f"{path}: no such file")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise SpikeQuantError(f"{path}: not a GGUF file (it starts with {magic!r})")
    try:
        reader = gguf.GGUFReader(path)
        fields = {key: field.contents() for key, field in reader.fields.items()}
        return fields, {tensor.name: tensor for tensor in reader.tensors}
    except Exception as error:  # the reader has no error class of its own
        raise SpikeQuantError(f"{path}: truncated or damaged GGUF file ({error})") from error


def _field(path: Path, fields: dict, key: str, default=_MISSING):
    value = fields.get(key, default)
    if value is _MISSING:
        raise SpikeQuantError(f"{path}: metadata key '{key}' is missing")
    return value


def _config(path: Path, fields: dict, tensors: dict) -> LlamaConfig:
    def number(key: str, default=_MISSING):
        value = _field(path, fields, "llama." + key, default)
        if isinstance(value, list):
            raise SpikeQuantError(f"{path}: 'llama.{key}' differs by layer: not supported")
        if not isinstance(value, (int, float)):
            raise SpikeQuantError(f"{path}: 'llama.{key}' is {value!r}, not a number")
        return value

    if number("expert_count", 0):
        raise SpikeQuantError(f"{path}: mixture-of-experts models are not supported")
    width, heads = int(number("embedding_length")), int(number("attention.head_count"))
    kv_heads = int(number("attention.head_count_kv", heads))
    if heads <= 0 or kv_heads <= 0 or heads % kv_heads:
        raise SpikeQuantError(f"{path}: {heads} query heads cannot share {kv_heads} key heads")
    head_width = int(number("attention.key_length", width // heads))
    value_width = int(number("attention.value_length", head_width))
    rope_width = int(number("rope.dimension_count", head_width))
    if not head_width == value_width == rope_width or head_width % 2:
        raise SpikeQuantError(
            f"{path}: key width {head_width}, value width {value_width} and rope width "
            f"{rope_width} must be equal and even"
        )
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise SpikeQuantError(f"{path}: tensor 'token_embd.weight' is missing")
    return LlamaConfig(
        layers=int(number("block_count")),
        width=width,
        feed_forward=int(number("feed_forward_length")),
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        vocabulary=int(embedding.shape[1]),
        norm_epsilon=float(number("attention.layer_norm_rms_epsilon")),
        tied_head="output.weight" not in tensors,
        attention_bias="blk.0.attn_q.bias" in tensors,
    )


def _rope_scale(path: Path, fields: dict) -> float:
    kind = fields.get("llama.rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return float(_field(path, fields, "llama.rope.scaling.factor"))
    raise SpikeQuantError(f"{path}: rope scaling '{kind}' is not supported (none or linear is)")


def _check_tensors(path: Path, config: LlamaConfig, tensors: dict) -> None:
    keys = [key for key in config.weight_shapes(1) if not key.startswith("rope.")]
    expected = {key if key.endswith(".bias") else key + ".weight" for key in keys}
    missing = sorted(expected - tensors.keys())
    unknown = sorted(tensors.keys() - expected - {"rope_freqs.weight"})
    if missing:
        raise SpikeQuantError(f"{path}: missing tensors: {_some(missing)}")
    if unknown:
        raise SpikeQuantError(
            f"{path}: tensors that the llama architecture here does not use: {_some(unknown)}"
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
