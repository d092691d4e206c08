# Two commands for a fresh machine with CPython 3.11+ and pip:
#   make demo    set up, then simulate, fit and report
#   make test    set up, then run every test
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the small CPU build of PyTorch.

PYTHON ?= python3
TORCH_INDEX ?=
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
READING = numpy scipy pandas xarray h5py h5netcdf pynwb pooch jinja2 tomli-w lazy_loader
WORKERS ?= 2

.PHONY: help demo test test-all test-torch-free test-zarr lint docs bench clean

help:
	@sed -n '2,4p' Makefile; echo "#   also: test-all test-torch-free test-zarr lint docs bench clean"

.venv/ready: setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "neurodyn needs Python 3.11 or later; try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) -e .
	@touch $@

.venv/ready-test: .venv/ready
	$(PIP) -e '.[dev,fast,remote,fmri,bids,connectome,dask,sweep,gpu]'
	$(PIP) --no-deps nlb-tools==0.0.4 brainmarks==0.1.1 ml4fmri==1.1.0
	@touch $@

.venv/ready-docs: .venv/ready
	$(PIP) -e '.[docs]'
	@touch $@

demo: .venv/ready
	.venv/bin/neurodyn demo --folder demo

lint: .venv/ready-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codespell neurodyn tests docs tutorials benchmarks datasets/*.toml *.rst
	.venv/bin/lint-imports

test: lint
	.venv/bin/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=15 \
		--cov --cov-report=term:skip-covered

test-all: lint
	.venv/bin/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'slow or not slow'

# zarr < 3 stands apart, and reading needs no PyTorch
.venv-zarr/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv-zarr
	.venv-zarr/bin/python -m pip install --quiet -c constraints.txt $(READING) hdmf-zarr zarr \
		pytest hypothesis
	.venv-zarr/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

test-zarr: .venv-zarr/ready
	.venv-zarr/bin/python -m pytest -q tests/zarr

# Another interpreter, without PyTorch: make test-torch-free PYTHON=python3.13
TORCH_FREE = tests/recording tests/transforms tests/metrics tests/nlb tests/plots tests/datasets \
	tests/io tests/windows/test_splits.py tests/windows/test_samplers.py \
	tests/test_config.py tests/test_errors.py tests/test_provenance.py

.venv-torch-free/ready: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv-torch-free
	.venv-torch-free/bin/python -m pip install --quiet -c constraints.txt $(READING) scikit-learn \
		matplotlib typer rich safetensors numba pynapple nilearn mne pytest pytest-xdist hypothesis
	.venv-torch-free/bin/python -m pip install --quiet --no-deps -e . nlb-tools==0.0.4
	@touch $@

test-torch-free: .venv-torch-free/ready
	.venv-torch-free/bin/python -m pytest -q -n $(WORKERS) --dist worksteal $(TORCH_FREE)

docs: .venv/ready-docs
	.venv/bin/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: .venv/ready-test
	.venv/bin/python -m benchmarks

clean:
	rm -rf .venv .venv-zarr .venv-torch-free build dist docs/_build docs/gallery demo *.egg-info
