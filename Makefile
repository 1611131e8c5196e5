# What can be done here. `make` alone lists it.
# Needs git, make and Python 3.11 or newer with its venv module; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help demo lab test lint unit widgets format bench check-kernels check-long wheel clean

help:
	@echo 'make demo                the first notebook on 336,776 flights; prints its results'
	@echo 'make lab                 JupyterLab on the same notebook'
	@echo 'make test                linters, types, floors and tests'
	@echo 'make widgets             bundle the widgets again after a change of theirs'
	@echo 'make bench               benchmarks against pandas, NumPy, Polars, Dask, Ray and others'
	@echo 'make check-long PART=... what takes too long for every change; without PART: which there are'
	@echo 'make check-kernels       progress and Stop in the versions of ipykernel that differ'
	@echo 'make wheel               a wheel in dist/, and the main job run from it elsewhere'
	@echo 'make format              format the code'

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'nbscale needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { \
	    echo 'Python has no venv module here; on Debian and Ubuntu: apt install python3-venv' >&2; \
	    rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[lab,test]'
	@touch $@

.venv/bench-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

data/ready: notebooks/get_flights.py | .venv/ready
	$(BIN)/python notebooks/get_flights.py data
	@touch $@

demo: data/ready
	@$(BIN)/python notebooks/run.py notebooks/01-flights.ipynb

lab: data/ready widgets
	$(BIN)/jupyter lab $(ROOT_FLAG) notebooks/01-flights.ipynb

test: lint unit

lint: widgets
	$(BIN)/python hatch_build.py check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: widgets
	$(BIN)/python -m pytest -n 2 --durations 25 $(TESTS)

widgets: .venv/ready
	@$(BIN)/python hatch_build.py

bench: .venv/bench-ready
	$(BIN)/python -m benchmarks $(ARGS)

check-long: .venv/bench-ready
	$(BIN)/python -m benchmarks.long $(PART)

# Each is a folder of modules put before those of .venv; what they need beyond it is named, too.
KERNELS := 6.31.0 7.0.1 7.3.0

build/kernels/%: .venv/ready
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ ipykernel==$* nest-asyncio

check-kernels: $(KERNELS:%=build/kernels/%) widgets
	NBSCALE_KERNELS=$(subst $(eval ) ,:,$(KERNELS:%=$(CURDIR)/build/kernels/%)) \
	    $(BIN)/python -m pytest tests/notebook/test_kernel.py

wheel: .venv/ready
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python .ci/try_wheel.py dist

format: .venv/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build data dist node_modules nbscale/notebook/static
