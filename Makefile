# Two commands matter: `make run` (environment, then the pipeline) and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stages run as `python -m …`: the environment's own python has to come first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup run smoke test check format dag bench docs audit torture tour ui clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | column -t -s '	'

# A Python that was named has to be the environment's; python3 is for where there is none yet.
setup:  ## build the environment in .venv, nothing else
	@$(PYTHON) tools/environment.py $(VENV) $(if $(filter command% environment%,$(origin PYTHON)),--exactly)

run: setup  ## both pipelines: seven stages each, to videos and scores
	world-models check
	dvc repro

smoke: setup  ## all fourteen stages at toy scale, in a temporary clone
	python tools/smoke.py

test: setup  ## the whole test suite
	python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

check: setup  ## format, lint, types, import layers, generated files
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python tools/dag.py --check
	python tools/parameters_doc.py --check
	python -m world_models.experiment

audit: setup  ## whether the environment is what was locked, without a network
	python tools/audit.py

format: setup  ## let ruff format and mend what it can
	ruff format .
	ruff check --fix .

dag: setup  ## write the stages' code deps and docs/parameters.md
	python tools/dag.py
	python tools/parameters_doc.py

bench: setup  ## speed, measured side by side against what people use today
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	python -m benchmarks

docs: setup  ## the documentation as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict --quiet

torture: setup  ## hundreds of kills and faults, a thousand damaged files, and what came of them
	PYTHONPATH=src:tools python -m torture

tour: setup  ## what the tutorial says, done and checked, in a temporary clone; takes pictures of MLflow
	python tools/tour.py

ui: setup  ## compare runs in the MLflow UI
	world-models ui

clean:  ## remove the environment and caches (never data, models or runs)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf src/world_models/__pycache__/numba-*
