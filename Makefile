# Each target does its own set-up; `make quickstart` and `make test` are all a newcomer needs.

PYTHON ?= python3
VENV := .venv
comma := ,
BIN := $(VENV)/bin
# Extras installed by `make setup`; with an NVIDIA driver, JAX for its GPU too.
EXTRAS ?= dev,tfds,gcs$(if $(shell command -v nvidia-smi),$(comma)cuda)
STAMP := $(VENV)/.installed-$(EXTRAS)

.PHONY: setup quickstart demo test lint mutants

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.version.split()[0]} was found; run make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[$(EXTRAS)]"
	@touch $@

quickstart: setup
	$(BIN)/python -m vision_banana.quickstart

# How the packaged generator sees a few held-out scenes, then the quickstart's page about it.
DEMO ?= pocket
SEEING := depth,surface_normals,semantic_segmentation,instance_segmentation,referring_segmentation
demo: setup
	$(BIN)/python -m vision_banana.evaluate --checkpoint $(DEMO) --count 16 --steps 1 --tasks $(SEEING)
	$(BIN)/python -m vision_banana.report --checkpoint $(DEMO)

test: setup
	$(BIN)/python -m pytest

# Makes small mistakes one by one, and says which test notices.
mutants: setup
	$(BIN)/python tests/mutants.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
