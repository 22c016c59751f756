# Everything a fresh machine needs is Python 3.11 or newer, make and git.   make help

# The first of these that is 3.11 or newer; name another with make PYTHON=…
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && exit; done; echo python3)

VENV ?= .venv
VENV_DEMO ?= .venv-demo
RUN = $(VENV)/bin/python
PYTEST_ARGS ?=

# Guests are kept quiet and private, and leave some of the machine to others.
export ORT_DISABLE_TELEMETRY := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export TF_ENABLE_ONEDNN_OPTS := 0
export CUDA_VISIBLE_DEVICES :=
export OMP_NUM_THREADS ?= 2
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help demo test unit lint type bench matrix peers slim wheels clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

$(VENV_DEMO)/.done: pyproject.toml constraints.txt .ci/venv.sh
	@sh .ci/venv.sh "$(PYTHON)" "$(VENV_DEMO)" demo

$(VENV)/.done: pyproject.toml constraints.txt .ci/venv.sh
	@sh .ci/venv.sh "$(PYTHON)" "$(VENV)" all

# Who names a Python gets an environment of that one, also where there is one of another.
ifneq ($(origin PYTHON),file)
.PHONY: $(VENV)/.done $(VENV_DEMO)/.done
endif

demo: $(VENV_DEMO)/.done  ## compress the digits network, write build/digits.edge and build/digits.html, predict
	@EDGEAI_CACHE="$${EDGEAI_CACHE:-$$PWD/build/cache}" $(VENV_DEMO)/bin/python examples/digits/run_demo.py

test: $(VENV)/.done  ## every test
	$(RUN) -m pytest tests $(PYTEST_ARGS)

unit: $(VENV)/.done  ## the fast tests: unit and house
	$(RUN) -m pytest tests/unit tests/house -m "not slow" -q $(PYTEST_ARGS)

lint: $(VENV)/.done  ## style and common mistakes
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

type: $(VENV)/.done  ## types, strictly
	$(RUN) -m mypy

bench: $(VENV)/.done  ## every program in benchmarks/; the table of real models goes to docs/results.md
	@for program in benchmarks/*.py; do \
		case $$program in \
			*/compress_assets.py) arguments="--write docs/results.md" ;; \
			*/conversion_matrix.py|*/quantization_peers.py|*/pruning_distillation.py) continue ;; \
			*/conversion_speed.py) arguments="--write docs/conversion-speed.md" ;; \
			*/benchmark_peers.py) arguments="--write docs/benchmark-peers.md" ;; \
			*/same_file_comparison.py) arguments="--write docs/same-file-comparison.md" ;; \
			*) arguments= ;; \
		esac; \
		echo "== $$program $$arguments"; $(RUN) $$program $$arguments || exit 1; done

matrix: $(VENV)/.done  ## every source, family and format, tried with this code; about an hour: docs/conversions.md
	$(RUN) benchmarks/conversion_matrix.py --fresh --jobs 2 --write docs/conversions.md

peers: $(VENV)/.done  ## our static quantization next to that of others; hours when nothing is kept: docs/quantization.md
	$(RUN) benchmarks/quantization_peers.py --resume --write docs/quantization.md

slim: $(VENV)/.done  ## what pruning and distillation give on top of int8; an hour or two: docs/slimming.md
	$(RUN) benchmarks/pruning_distillation.py --write docs/slimming.md

wheels: $(VENV)/.done  ## dist/: the wheel of edgeai and the small one for devices, edgeai-runtime
	$(RUN) -m build --wheel --outdir dist .
	$(RUN) -m build --wheel --outdir dist runtime

clean:  ## remove what was built and installed here
	rm -rf $(VENV) $(VENV_DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
