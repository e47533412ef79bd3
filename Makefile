# Everything sets itself up: `make test` on a fresh clone is enough. `make help` lists the targets.
# `make test PYTHON=python3.13` uses that Python; another one than before builds .venv anew.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := .venv/bin
# Threads that wait must sleep: on a busy machine spinning ones cost a hundredfold.
export OMP_WAIT_POLICY ?= passive
export HF_HUB_DISABLE_TELEMETRY ?= 1

# Python compiles a module when it first reads it; to compile every module of torch takes longer than
# to install it.
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt

PYTEST := $(BIN)/python -m pytest
# Files are shared out among the cores, a thread each, in the order that tests/conftest.py gives. There
# is one process more than cores, for tests that wait for a server leave theirs free; but not of
# browsers, which show runs at their speed.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SHARED := OMP_NUM_THREADS=1 $(PYTEST) --dist loadfile --no-loadscope-reorder
PARALLEL := $(SHARED) -n $(WORKERS) --ignore tests/browser
BROWSERS := $(SHARED) -n auto tests/browser
PLACES := src tests docs benchmarks integrations hatch_build.py
# What takes much longer than what it adds to the others is for `make test-long`. `make test-fast`
# leaves out more: pytest names it at the start.
MOST := -m 'not long'
FAST := -m 'not slow and not long'

.PHONY: help setup demo test test-long test-fast attack clients integrations ray kernels coverage bench check format docs page \
	page-check vscode vscode-check first-contact clean

help:
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: .venv/.ready ## the environment in .venv, with the `redraft` command and the tools of the tests

ifeq ($(VERSION),)
$(error PYTHON=$(PYTHON) does not run: name a Python of 3.11 or newer)
endif
ifneq ($(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))'),True)
$(error $(PYTHON) is Python $(VERSION): name one of 3.11 or newer, make PYTHON=python3.12)
endif

.venv/.python-$(VERSION):
	rm -rf .venv
	$(PYTHON) -m venv .venv
	touch $@

# torch first and pinned (constraints.txt), so that nothing else decides which build of it comes.
# Of trl the tests read chat templates, which are files: what it needs to run stays away.
.venv/.command: .venv/.python-$(VERSION) pyproject.toml constraints.txt
	$(INSTALL) torch
	$(INSTALL) --editable '.[serve]'
	touch $@

.venv/.ready: .venv/.command
	$(INSTALL) --editable '.[test,check]'
	$(INSTALL) --no-deps trl
	touch $@

.venv/.docs: .venv/.ready
	$(INSTALL) --editable '.[docs]'
	touch $@

demo: .venv/.command ## the main job, on the models that ship with redraft
	$(BIN)/redraft demo

# A browser is timed, so its tests run by themselves.
test: setup ## the tests
	$(BIN)/python tests/browser/install.py
	$(PARALLEL) $(MOST)
	$(BROWSERS) $(MOST)

test-long: setup ## the tests that take longest, such as a minute of training
	$(BIN)/python tests/browser/install.py
	$(PARALLEL) -m long
	$(BROWSERS) -m long

test-fast: setup ## an answer in two minutes on two cores: all tests that are not marked slow
	$(PARALLEL) $(FAST)

coverage: setup ## the tests but the browser's, with a report; fails below the floor in pyproject.toml
	$(PARALLEL) $(MOST) --cov --cov-report=term --cov-report=xml:build/coverage.xml

attack: setup ## hostile requests against a real server, whole; the tests have them in a short form
	$(BIN)/python -m tests.attack.constraints
	$(BIN)/python -m tests.attack.connections
	$(BIN)/python -m tests.attack.sessions
	$(BIN)/python -m tests.attack.single
	$(BIN)/python -m tests.attack.several
	$(BIN)/python -m tests.attack.extremes
	$(BIN)/python -m tests.attack.images
	$(BIN)/python -m tests.attack.anything
	$(BIN)/python -m tests.attack.crowd
	$(BIN)/python -m tests.attack.files

clients: setup ## real clients of other projects against a server, and the tables in the docs; needs node, vim, git
	$(BIN)/python -m tests.clients.install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.clients.table

integrations: setup ## packages for other projects' tools, with the tools themselves (a few hundred MB)
	$(INSTALL) 'lm_eval[api]>=0.4.10' 'llm>=0.36'
	OMP_NUM_THREADS=1 $(PYTEST) tests/integrations

ray: setup ## batch jobs and servers on a Ray cluster of two nodes, whose processes are killed (Ray: 300 MB)
	$(INSTALL) --editable '.[ray]'
	$(PYTEST) tests/cluster -m 'long or not long'

kernels: setup ## compile the CUDA kernels for five kinds of card; needs none of them
	$(BIN)/python -m tests.ops.compiled

bench: setup ## speed and memory, beside transformers
	env -u OMP_WAIT_POLICY $(BIN)/python benchmarks/report.py

check: setup ## format, lint, types
	$(BIN)/ruff format --check $(PLACES)
	$(BIN)/ruff check $(PLACES)
	$(BIN)/mypy

format: setup ## format, and mend what lint can mend
	$(BIN)/ruff format $(PLACES)
	$(BIN)/ruff check --fix $(PLACES)

docs: .venv/.docs ## the site, in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

web/node_modules/.ready: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

# What is built is committed, so that only those who change the page need node.
page: web/node_modules/.ready ## the playground's page, from web/
	cd web && npm run build

# tests/web holds the committed page to its sources, with and without npm.
page-check: setup web/node_modules/.ready ## types, lint and unit tests of the page, and a new build; needs node 20.19
	cd web && npm run lint && npm test
	$(PYTEST) tests/web

editors/vscode/node_modules/.ready: editors/vscode/package-lock.json
	cd editors/vscode && npm ci --no-audit --no-fund
	touch $@

vscode: editors/vscode/node_modules/.ready ## the extension for VS Code, as editors/vscode/redraft.vsix; needs node 20.19
	cd editors/vscode && npm run build && npm run package

vscode-check: editors/vscode/node_modules/.ready ## types and unit tests of the extension
	cd editors/vscode && npm run check && npm test

first-contact: setup ## README, command by command, in a fresh environment from a built wheel
	$(PYTEST) tests/first_contact -m 'long or not long'

clean: ## remove .venv and all that was built
	rm -rf .venv web/node_modules editors/vscode/node_modules editors/vscode/dist build dist .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*
