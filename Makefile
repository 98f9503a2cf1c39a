# Every target sets itself up in .venv; `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo demo-images test test-slow lint format types docs clean help

help:
	@echo "make demo         train, sample, evaluate and report on the embedded sounds"
	@echo "make demo-images  the same on pictures from words: scenes of coloured shapes"
	@echo "make test         run the tests (test-slow: those that train for minutes, too)"
	@echo "make lint         ruff: style and mistakes, and the layers between modules"
	@echo "make types        mypy"
	@echo "make docs         the site of the documentation, into build/docs"

demo: $(VENV)/ready
	$(BIN)/polydiff train --domain audio train.minutes=5 backbone.spectral_long_window=0

demo-images: $(VENV)/ready
	$(BIN)/polydiff train --domain image data.name=shapes train.minutes=6

# Each process has tests that follow each other, so that a module's fixtures are made once, and takes over what another leaves.
test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or not slow"

lint: $(VENV)/ready-dev .typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd .typing && ../$(BIN)/lint-imports --config ../pyproject.toml

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/ready-dev .typing
	cd .typing && ../$(BIN)/mypy --config-file ../pyproject.toml -p polydiff

docs: $(VENV)/ready-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

# mypy and import-linter do not follow the package mapping of an editable install: give them the tree as it is installed.
.PHONY: .typing
.typing:
	rm -rf .typing/polydiff && mkdir -p .typing
	cp -r polydiff .typing/polydiff && cp -r backbones domains .typing/polydiff/

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about 5 GB with torch)..."
	$(PIP) -e ".[all]"
	@touch $@

$(VENV)/ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about 5 GB with torch)..."
	$(PIP) -e ".[all,dev]"
	@touch $@ $(VENV)/ready

$(VENV)/ready-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about 5 GB with torch)..."
	$(PIP) -e ".[all,docs]"
	@touch $@

clean:
	rm -rf $(VENV) .typing build docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
