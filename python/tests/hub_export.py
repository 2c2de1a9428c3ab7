"""Exports random tiny Hugging Face models through torch-mlir; runs in the environment of
requirements-hub.txt. Usage: hub_export.py FOLDER NAME..

Per model FOLDER/NAME: graph.mlirbc (weights in it) or graph.mlir and weights.safetensors, in.npz,
batch.npz (for calibration) and expected.npz (by PyTorch). A failure is FOLDER/NAME/failure.txt.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers as hf
from safetensors.torch import save_file
from torch_mlir import fx

VOCABULARY = 257
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 136,
    "intermediate_size": 272,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "head_dim": 16}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


def _causal(config) -> torch.nn.Module:
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if "Moe" in type(config).__name__ or "Mixtral" in type(config).__name__:
        # The default loops over the experts that were chosen, which no export can follow.
        model.set_experts_implementation("batched_mm")
    return model


def _logits(model, tokens):
    return model(tokens, use_cache=False).logits


def _masked_logits(model, tokens, mask):
    return model(tokens, attention_mask=mask).logits


def _pair_logits(model, tokens, answer):
    return model(input_ids=tokens, decoder_input_ids=answer, use_cache=False).logits


def _image_logits(model, image):
    return model(image).logits


def _tokens(batch: int, length: int) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (batch, length))


def _masked(length: int) -> list[torch.Tensor]:
    return [_tokens(1, length), (torch.arange(length)[None] < length - 2).long()]


# Name: the model, what is exported of it, its inputs.
MODELS: dict[str, tuple[Callable, Callable, Callable]] = {
    "llama": (
        lambda: _causal(hf.LlamaConfig(**_GROUPED)),
        _logits,
        lambda: [_tokens(2, 31)],
    ),
    "gemma2": (
        lambda: _causal(
            hf.Gemma2Config(**_GROUPED, query_pre_attn_scalar=16, sliding_window=8),
        ),
        _logits,
        lambda: [_tokens(1, 31)],
    ),
    "gpt2": (
        lambda: _causal(
            hf.GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=136, n_layer=2, n_head=4)
        ),
        _logits,
        lambda: [_tokens(3, 7)],
    ),
    "bloom": (
        lambda: _causal(
            hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=136, n_layer=2, n_head=4)
        ),
        _logits,
        lambda: [_tokens(1, 7)],
    ),
    "mixtral": (
        lambda: _causal(hf.MixtralConfig(**_GROUPED, **_EXPERTS)),
        _logits,
        lambda: [_tokens(1, 7)],
    ),
    "mamba": (
        lambda: _causal(
            hf.MambaConfig(
                vocab_size=VOCABULARY, hidden_size=136, state_size=8, num_hidden_layers=2
            )
        ),
        _logits,
        lambda: [_tokens(1, 7)],
    ),
    "bert": (
        lambda: hf.BertForMaskedLM(hf.BertConfig(**_SIZES, attn_implementation="eager")),
        _masked_logits,
        lambda: _masked(31),
    ),
    "t5": (
        lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=VOCABULARY, d_model=136, d_kv=16, d_ff=272, num_layers=2, num_heads=4
            )
        ),
        _pair_logits,
        lambda: [_tokens(1, 31), _tokens(1, 7)],
    ),
    "vit": (
        lambda: hf.ViTForImageClassification(
            hf.ViTConfig(
                hidden_size=136,
                intermediate_size=272,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=32,
                patch_size=8,
            )
        ),
        _image_logits,
        lambda: [torch.randn(1, 3, 32, 32)],
    ),
}
# Exported with weights as arguments, keys argN of a safetensors file; the others have them inside.
WITH_ARGUMENTS = ("gpt2", "bert")


class Part(torch.nn.Module):
    """What is exported of a model."""

    def __init__(self, model: torch.nn.Module, call: Callable):
        super().__init__()
        self.model, self.call = model.eval(), call
        for module in self.modules():  # torch-mlir takes persistent buffers only
            module._non_persistent_buffers_set.clear()

    def forward(self, *inputs):
        return self.call(self.model, *inputs)


class WeightsAsArguments(torch.nn.Module):
    """The inputs come first, then parameters and buffers."""

    def __init__(self, part: Part, names: list[str], inputs: int):
        super().__init__()
        self.names, self.inputs = names, inputs
        self.__dict__["part"] = part  # not a submodule: its weights are arguments

    def forward(self, *arguments):
        weights = dict(zip(self.names, arguments[self.inputs :], strict=True))
        inputs = arguments[: self.inputs]
        return torch.func.functional_call(self.part, weights, inputs, tie_weights=False)


def export(name: str, folder: Path) -> None:
    make_model, call, make_inputs = MODELS[name]
    part = Part(make_model(), call)
    inputs = make_inputs()
    with torch.no_grad():
        expected = part(*inputs)
        if name in WITH_ARGUMENTS:
            _export_with_arguments(part, inputs, folder)
        else:
            module = fx.export_and_import(part, *inputs, output_type="stablehlo", func_name="main")
            with (folder / "graph.mlirbc").open("wb") as file:
                module.operation.write_bytecode(file)
    batches = [make_inputs() for _ in range(8)]
    np.savez(folder / "expected.npz", out0=expected.numpy())
    np.savez(folder / "in.npz", **{f"arg{i}": x.numpy() for i, x in enumerate(inputs)})
    stacked = {f"arg{i}": torch.stack(x).numpy() for i, x in enumerate(zip(*batches, strict=True))}
    np.savez(folder / "batch.npz", **stacked)


def _export_with_arguments(part: Part, inputs: list[torch.Tensor], folder: Path) -> None:
    weights = {**dict(part.named_parameters()), **dict(part.named_buffers())}
    weights = {key: value.detach().clone() for key, value in weights.items()}
    function = WeightsAsArguments(part, list(weights), len(inputs))
    arguments = [*inputs, *weights.values()]
    module = fx.export_and_import(function, *arguments, output_type="stablehlo", func_name="main")
    (folder / "graph.mlir").write_text(str(module))
    keyed = {f"arg{len(inputs) + i}": value for i, value in enumerate(weights.values())}
    save_file(keyed, folder / "weights.safetensors")


def main() -> None:
    folder, *names = sys.argv[1:]
    for name in names:
        own = Path(folder) / name
        own.mkdir()
        torch.manual_seed(1)
        try:
            export(name, own)
        except Exception:
            (own / "failure.txt").write_text(traceback.format_exc())


if __name__ == "__main__":
    main()
