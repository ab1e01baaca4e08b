VENV := .venv
# one more than two cores: some tests wait for batch systems and servers
PROCESSES ?= 3
PYTHON ?= python3
BIN := $(VENV)/bin
# tested versions of all that is installed, and of what builds the package; pip from 25.3 on asks for the second by its own name
export PIP_CONSTRAINT = constraints.txt
export PIP_BUILD_CONSTRAINT = constraints.txt

.PHONY: demo test lint docs bench sample clean

demo: $(VENV)/.ready  ## from PF candidates to resolution figures
	$(BIN)/ptmiss demo --force

# each process of the tests has one thread, or they take each other's cores
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export NUMBA_NUM_THREADS = 1
test: $(VENV)/.train  ## all tests; make test ARGS="-m 'not slow'" for the quick ones, PROCESSES=8 for more at a time
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

lint: $(VENV)/.train  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.train  ## the site in out/site, warnings are errors
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx --jobs auto --quiet --fail-on-warning --doctree-dir out/doctrees docs out/site

bench: $(VENV)/.train  ## speed, in ratios against named alternatives
	$(BIN)/python -m pytest tests/benchmarks --override-ini python_files='bench_*.py' -s $(ARGS)

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ptmiss needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.train: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet torch
	$(BIN)/python -m pip install --quiet --editable '.[train,flow,tune,onnx,triton,notebooks,docs]'
	touch $@

sample: $(VENV)/.train  ## make the embedded sample again (half an hour)
	$(BIN)/python -m ptmiss.data.production

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build dist out
