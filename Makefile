# The two commands of a fresh clone are `make demo` and `make test`; each sets up all that it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKED := mopd_core mopd_backends mopd_verifiers cli.py tests benchmarks plugins
# Without a torch in the environment, pip would fetch gigabytes of CUDA packages; users keep the torch that they have.
TORCH ?= torch==2.13.0
SOAK_ITEMS ?= 20000

.PHONY: setup demo test test-oldest lint types bench soak learning docs clean

setup: $(READY)

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/mopd run

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The same tests with the oldest transformers that we promise to work with.
test-oldest:
	$(MAKE) setup VENV=.venv-oldest
	.venv-oldest/bin/python -m pip install --quiet "transformers==5.5.3"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)

types: setup
	$(BIN)/mypy

# Ratios, side by side in one process. Run them alone.
bench: setup
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/loss.py
	$(BIN)/python benchmarks/prefix.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/step.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/generate.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/overhead.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/scaling.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/verifiers.py

# 20,000 mixed verifications, hostile ones among them, in one process: about eight minutes on two cores.
soak: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/soak_verifiers.py --items $(SOAK_ITEMS)

# Every method on the bundled tasks, five seeds each: about twenty minutes on two idle cores.
learning: setup
	$(BIN)/python benchmarks/learning.py

docs: setup
	$(BIN)/python -m mopd_core.config.reference > docs/config.md

clean:
	rm -rf .venv .venv-oldest dist build runs
