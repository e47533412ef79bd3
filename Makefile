# Everything sets itself up: `make test` on a fresh clone is enough.
PYTHON ?= python3
BIN := .venv/bin
# Threads that wait must sleep: on a busy machine spinning ones cost a hundredfold.
export OMP_WAIT_POLICY ?= passive
export HF_HUB_DISABLE_TELEMETRY ?= 1

.PHONY: setup demo test bench check format page clean

setup: .venv/.ready

# torch first and pinned (constraints.txt), so that nothing else decides which build of it comes.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,check]'
	touch $@

demo: setup
	$(BIN)/redraft demo

# Files are shared out among the cores, a thread each; what a browser is timed in runs by itself.
test: setup
	$(BIN)/python tests/browser/install.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/browser
	$(BIN)/python -m pytest tests/browser

bench: setup
	env -u OMP_WAIT_POLICY $(BIN)/python benchmarks/report.py

check: setup
	$(BIN)/ruff format --check src tests docs benchmarks
	$(BIN)/ruff check src tests docs benchmarks
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format src tests docs benchmarks
	$(BIN)/ruff check --fix src tests docs benchmarks

# What is built is committed, so that only those who change the page need node.
page:
	cd web && npm ci && npm run build

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
