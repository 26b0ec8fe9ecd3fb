# Everything here needs Python >= 3.11 and make; each target makes what it needs in .venv.
#   make install      the package with its laboratory (torch, timm, ...)
#   make quickstart   from real images to a tipping point and a report, in about ten minutes on two cores
#   make test         style, types and tests
#   make docs         the documentation as a site, in build/site/index.html
PYTHON ?= python3
VENV ?= .venv
# The versions that CI runs; `make CONSTRAINTS= ...` takes the newest that the package allows.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WITH := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

SITE ?= build/site

.PHONY: help install dev quickstart test lint types docs clean
help:
	@sed -n '2,5s/^# *//p' Makefile

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tippingpoint needs Python 3.11 or newer, this is %s: make PYTHON=python3.11 ..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml $(CONSTRAINTS)
	$(PIP) install --quiet $(WITH) --editable '.[lab]'
	@touch $@

$(VENV)/dev: $(VENV)/installed
	$(PIP) install --quiet $(WITH) --editable '.[lab,dev]'
	@touch $@

$(VENV)/documented: $(VENV)/installed
	$(PIP) install --quiet $(WITH) --editable '.[lab,docs]'
	@touch $@

install: $(VENV)/installed
	@echo "Installed. Try: make quickstart, or $(BIN)/tippingpoint --help"

dev: $(VENV)/dev

quickstart: install
	$(BIN)/tippingpoint run quickstart

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -n 2

# Strict: a link that leads nowhere, a page without a place and a docstring that cannot be read are errors.
docs: $(VENV)/documented
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going -b html docs $(SITE)
	@echo "The site: $(SITE)/index.html"

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
