# `make quickstart` and `make test` do all set-up by themselves: they need Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SPEC ?= specs/quickstart.yaml
# The versions of constraints.txt and no others.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt

# Hundreds of processes import this project, and with this set each compiles it anew.
unexport PYTHONDONTWRITEBYTECODE

KILLS ?= 100
SEED ?= 0

.PHONY: quickstart plan test test-long test-fast cluster-test chaos check format clean

quickstart: .venv/sweep ## the main job: pre-train, sweep, report
	$(BIN)/rewarm run specs/quickstart.yaml

plan: .venv/sweep ## what SPEC would train
	$(BIN)/rewarm plan $(SPEC)

test: .venv/dev ## all tests but the long ones, a process a core
	$(BIN)/python -m pytest -m "not long and not cluster" --numprocesses auto --maxprocesses 4 --dist worksteal --durations 30

test-long: .venv/dev ## the long ones: second shapes, what grows or is drained, a hub that breaks
	$(BIN)/python -m pytest -m "long and not cluster" --numprocesses auto --maxprocesses 4 --dist worksteal --durations 30

test-fast: .venv/dev ## without Ray, browser and slow tests
	$(BIN)/python -m pytest -m "not slow and not long and not ray and not browser and not cluster"

cluster-test: .venv/dev ## `ray up` to `ray down` on hosts in namespaces, with losses; needs root
	$(BIN)/python -m tests.cluster
	$(BIN)/python -m pytest -m cluster -s

chaos: .venv/dev ## KILLS disturbances of a sweep, drawn from SEED, and what became of it
	$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED)

check: .venv/dev ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## the environment and caches; results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/sweep: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[sweep]'
	touch $@

.venv/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[sweep,dev]'
	touch .venv/sweep $@
