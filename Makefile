# Two commands matter: `make demo` and `make test`. Each sets up all that it needs
# (Debian packages, a Python environment in .venv, the build) and is cheap when
# nothing has changed.

SHELL := /bin/bash
VENV := .venv
BUILD := build
PYTHON_SOURCES := python/pyproject.toml python/requirements.txt

.PHONY: demo test test-all hub bench accuracy build setup lint format docs clean

demo: build
	$(VENV)/bin/python tools/dev/demo.py

test: build
	$(VENV)/bin/python tools/dev/run_tests.py

# Slow tiers as well: llama-cpp-python, whole-model equality, long perplexity runs, and the
# simulators norse, sinabs and spikingjelly, each in an environment of its own that the tests make
# in build/simulators and keep (python/requirements-{torch,norse,sinabs,spikingjelly}.txt, 6 GB). Hugging Face
# models are skipped unless `make hub` was run.
test-all: build
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-slow.txt
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-encoder.txt
	$(VENV)/bin/python tools/dev/run_tests.py --slow

# PyTorch, torch-mlir and transformers (5 GB) in .venv-hub, for the tests that export with them.
hub:
	test -x .venv-hub/bin/pip || /usr/bin/python3 -m venv .venv-hub
	.venv-hub/bin/pip install -q --no-deps -r python/requirements-hub.txt

# SpikeQuant against llama.cpp on this machine, its kernels against the processor's limits and
# against ONNX Runtime and OpenVINO; `make demo` first. Tables, CSV, JSON and pictures in
# out/benchmarks.
bench: build
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-slow.txt
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-rivals.txt
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-accuracy.txt
	$(VENV)/bin/python benchmarks/run.py
	$(VENV)/bin/python benchmarks/kernels.py

# SpikeQuant against other ways of quantising activations; `make demo` first. Hours; an interrupted
# run goes on where it stopped. ARGS="--windows 4 --methods spike*,quarot-4 --grid on" takes less.
accuracy: build
	$(VENV)/bin/pip install -q --no-deps -r python/requirements-accuracy.txt
	$(VENV)/bin/python -m benchmarks.accuracy $(ARGS)

build: setup
	@test -f $(BUILD)/build.ninja || cmake --preset release
	ninja -C $(BUILD) all SpikeQuantUnitTests

setup: $(VENV)/.stamp

$(VENV)/.stamp: tools/dev/setup.sh tools/dev/packages.txt $(PYTHON_SOURCES)
	tools/dev/setup.sh $(VENV)
	touch $@

lint: setup
	tools/dev/lint.sh

format: setup
	tools/dev/lint.sh --fix

# The op and pass references in docs/generated, from the TableGen descriptions, and the picture of
# an exported network.
docs: build
	tools/dev/generate_docs.sh docs/generated
	$(VENV)/bin/python tools/dev/draw_network.py docs/pictures/network.mlir docs/pictures/network.svg

clean:
	rm -rf $(BUILD)
