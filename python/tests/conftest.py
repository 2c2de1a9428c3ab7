"""A tiny model, exported, calibrated and compiled once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_chat

from spikequant.calibrate import calibrate_text
from spikequant.compiler import FLOAT, CompileOptions, compile_model
from spikequant.export import export_gguf

TEXT = Path(__file__).resolve().parents[2] / "data" / "wikitext-2"


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
