# Each target does its own set-up; `make quickstart` and `make test` are all a newcomer needs.

PYTHON ?= python3
VENV := .venv
comma := ,
UV ?= uv
TESTS ?=
BIN := $(VENV)/bin
# Extras installed by `make setup`; with an NVIDIA driver, JAX for its GPU too.
EXTRAS ?= dev,tfds,gcs$(if $(shell command -v nvidia-smi),$(comma)cuda)
NOTEBOOKS := $(patsubst colabs/%,docs/notebooks/%,$(wildcard colabs/*.ipynb))
# What notebooks read: the code with its data and weights, the reports about the pod.
SOURCES := $(shell find vision_banana configs -type f -not -name '*.pyc') $(wildcard experiments/pod/results/*.json)

.PHONY: setup depth quickstart demo test test-lowest test-newest lint mutants notebooks docs

setup: $(VENV)/.installed-$(EXTRAS)

# A file for each list of extras that is installed.
.PRECIOUS: $(VENV)/.installed-%
$(VENV)/.installed-%: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.version.split()[0]} was found; run make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[$*]"
	@touch $@

quickstart: setup
	$(BIN)/python -m vision_banana.quickstart

# Metres of one's own photograph.
PHOTO ?= vision_banana/evaluation/photos/kitchen.jpg
depth: setup
	$(BIN)/python -m vision_banana.sample --checkpoint pocket --task depth --image "$(PHOTO)"

# How the packaged generator sees a few held-out scenes, then the quickstart's page about it.
DEMO ?= pocket
SEEING := depth,surface_normals,semantic_segmentation,instance_segmentation,referring_segmentation
demo: setup
	$(BIN)/python -m vision_banana.evaluate --checkpoint $(DEMO) --count 16 --steps 1 --tasks $(SEEING)
	$(BIN)/python -m vision_banana.report --checkpoint $(DEMO)

test: setup
	$(BIN)/python -m pytest

# The tests on the lowest and the newest versions that pyproject.toml allows, each in an environment
# of its own; they need uv (pip install uv), which also fetches the Python where it is missing.
test-lowest: RESOLUTION := lowest-direct
test-lowest: RESOLVED_PYTHON := 3.11
test-newest: RESOLUTION := highest
test-newest: RESOLVED_PYTHON := 3.13
test-lowest test-newest:
	$(UV) venv --quiet --allow-existing --python $(RESOLVED_PYTHON) .venv-$(RESOLUTION)
	$(UV) pip install --quiet --python .venv-$(RESOLUTION) --resolution $(RESOLUTION) --editable ".[$(EXTRAS)]"
	.venv-$(RESOLUTION)/bin/python -m pytest $(TESTS)

# Executes the notebooks that are older than themselves or what they read; the pictures go to the documents.
notebooks: $(NOTEBOOKS)

docs/notebooks/%.ipynb: colabs/%.ipynb $(SOURCES) | $(VENV)/.installed-colabs
	$(BIN)/python -m nbconvert --to notebook --execute --ExecutePreprocessor.timeout=600 --output-dir docs/notebooks $<

docs: notebooks $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --site-dir build/docs

# Makes small mistakes one by one, and says which test notices.
mutants: setup
	$(BIN)/python tests/mutants.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
