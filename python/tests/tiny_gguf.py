"""Tiny llama GGUF files with random weights, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np


@dataclass(frozen=True)
class TinyLlama:
    """Shapes are odd on purpose: nothing may depend on multiples of anything."""

    layers: int = 2
    width: int = 13
    feed_forward: int = 11
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 6
    vocabulary: int = 37
    tied: bool = True
    bias: bool = False
    rope_factors: bool = False
    rope_base: float = 100.0
    epsilon: float = 1e-4
    seed: int = 0

    def but(self, **changes) -> TinyLlama:
        return replace(self, **changes)

    def tensors(self) -> dict[str, np.ndarray]:
        """GGUF tensors: linear weights [N, K], rows of q and k in GGUF's order."""
        random = np.random.default_rng(self.seed)
        q_width, kv_width = self.heads * self.head_width, self.kv_heads * self.head_width

        def matrix(rows: int, columns: int) -> np.ndarray:
            return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

        def vector(size: int) -> np.ndarray:
            return (1 + 0.3 * random.standard_normal(size)).astype(np.float32)

        tensors = {"token_embd.weight": matrix(self.vocabulary, self.width)}
        for layer in range(self.layers):
            rows = {
                "attn_q": (q_width, self.width),
                "attn_k": (kv_width, self.width),
                "attn_v": (kv_width, self.width),
                "attn_output": (self.width, q_width),
                "ffn_gate": (self.feed_forward, self.width),
                "ffn_up": (self.feed_forward, self.width),
                "ffn_down": (self.width, self.feed_forward),
            }
            for name, shape in rows.items():
                # Enlarged, so that attention is far from uniform and errors show.
                tensors[f"blk.{layer}.{name}.weight"] = 2 * matrix(*shape)
                if self.bias and name.startswith("attn"):
                    tensors[f"blk.{layer}.{name}.bias"] = vector(shape[0])
            for name in ("attn_norm", "ffn_norm"):
                tensors[f"blk.{layer}.{name}.weight"] = vector(self.width)
        tensors["output_norm.weight"] = vector(self.width)
        if not self.tied:
            tensors["output.weight"] = matrix(self.vocabulary, self.width)
        if self.rope_factors:
            tensors["rope_freqs.weight"] = np.linspace(1, 3, self.head_width // 2, dtype=np.float32)
        return tensors

    def metadata(self) -> dict[str, int | float]:
        return {
            "block_count": self.layers,
            "context_length": 64,
            "embedding_length": self.width,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_width,
            "attention.value_length": self.head_width,
            "attention.layer_norm_rms_epsilon": self.epsilon,
            "rope.freq_base": self.rope_base,
            "rope.dimension_count": self.head_width,
        }


def write_gguf(
    path: Path,
    tensors: dict[str, np.ndarray],
    metadata: dict[str, int | float],
    *,
    vocabulary: int = 37,
    architecture: str = "llama",
    tokens: list[str] | None = None,
    merges: list[str] | None = None,
    kinds: list[int] | None = None,
    pre: str = "smollm",
    tokenizer: str = "gpt2",
    extra: dict[str, int | bool | str] | None = None,
) -> Path:
    """Writes a GGUF file; tensors are f32. `metadata` keys lack the architecture prefix."""
    tokens = tokens or [f"t{index}" for index in range(vocabulary)]
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture}.{key}", value)
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds or [1] * len(tokens))
    writer.add_token_merges(merges or (["a b"] if "ab" in tokens else ["t 0"]))
    writer.add_eos_token_id(2)
    for key, value in (extra or {}).items():
        kinds_of_value = {bool: writer.add_bool, str: writer.add_string}
        kinds_of_value.get(type(value), writer.add_uint32)(key, value)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tiny(path: Path, tiny: TinyLlama, **options) -> Path:
    """A whole, valid model file."""
    tokens = ["t", "0", "t0"] + [f"w{index}" for index in range(tiny.vocabulary - 3)]
    options = {"tokens": tokens, "merges": ["t 0"], **options}
    return write_gguf(path, tiny.tensors(), tiny.metadata(), **options)
