# Everything lands inside this folder: the environment in .venv, caches in .cache, the demo in demo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/.cache

export PIP_CACHE_DIR := $(CACHE)/pip
export UV_CACHE_DIR := $(CACHE)/uv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR := $(CACHE)/matplotlib
export XDG_CACHE_HOME := $(CACHE)
export YOLO_CONFIG_DIR := $(CACHE)/ultralytics
export TORCHINDUCTOR_CACHE_DIR := $(CACHE)/inductor

.PHONY: demo test tutorials env lint format bench fuzz kill audit dist versions lint-packaging docs clean

demo: $(VENV)/.installed  # QUICK=1: nothing is trained, the shipped model on one scan; SCAN=PATH: on yours
	$(BIN)/pe-nnunet demo --out demo $(if $(QUICK)$(SCAN),--quick) $(if $(SCAN),--scan "$(SCAN)") $(ARGS)

test: lint  # in a process a processor, up to four; ARGS="-n 0" for one process
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

tutorials: $(VENV)/.installed  # every block of the tutorials that needs no download, short trainings too: some minutes
	PE_NNUNET_TEST_TRAININGS=1 $(BIN)/pytest tests/test_docs.py -k tutorial

bench: $(VENV)/.installed  # ARGS=--quick for small data
	$(BIN)/python benchmarks/run.py $(ARGS)

fuzz: $(VENV)/.installed  # 20,000 mutated files a reader, half an hour; ARGS="--files 500 --seed 7 --reader dicom" for fewer
	$(BIN)/python -m fuzz $(ARGS)

kill: $(VENV)/.installed  # commands killed at random moments, full disks and the like: an hour; ARGS="--only slices --kills 5"
	$(BIN)/python -m tests.kill $(ARGS)

env: $(VENV)/.installed

lint: $(VENV)/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

audit: $(VENV)/.installed $(CACHE)/audit/.installed  # dist/sbom.cdx.json, and what is known against the environment
	$(CACHE)/audit/bin/python tests/packaging/audit.py \
		$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") dist

dist: $(CACHE)/dist/.installed  # wheel and source distribution in dist, checked
	rm -rf build *.egg-info dist/*.whl dist/*.tar.gz
	$(CACHE)/dist/bin/python -m build
	$(CACHE)/dist/bin/twine check --strict dist/*.whl dist/*.tar.gz
	$(CACHE)/dist/bin/check-wheel-contents dist/*.whl

versions: $(CACHE)/dist/.installed  # docs/versions.md: an environment a row, 6 GB each; ARGS="--only newest oldest" for some
	$(CACHE)/dist/bin/python tests/packaging/versions.py $(ARGS)

lint-packaging: $(CACHE)/packaging/.installed  # workflows, container recipe, citation
	$(CACHE)/packaging/bin/actionlint
	$(CACHE)/packaging/bin/zizmor --offline --persona pedantic .github
	$(CACHE)/packaging/bin/hadolint packaging/Dockerfile
	$(CACHE)/packaging/bin/cffconvert --validate

# an environment for each of the groups of tools that do not belong beside the package
$(CACHE)/%/.installed: pyproject.toml
	$(PYTHON) -m venv $(CACHE)/$*
	$(CACHE)/$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(CACHE)/$*/bin/python -m pip install --quiet --group $*
	@touch $@

docs: $(CACHE)/docs/.installed  # the site, in .cache/site; a warning is an error; Python 3.11 or newer
	rm -rf $(CACHE)/[0-9]* $(CACHE)/site  # zensical's own; its --clean takes all of .cache
	PYTHONPATH=. $(CACHE)/docs/bin/zensical build --strict
	@echo "open $(CACHE)/site/index.html"

$(VENV)/.installed: pyproject.toml
	@echo "== environment in $(VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(VENV) --editable . --group dev || \
		$(BIN)/python -m pip install --quiet --editable . --group dev  # an index that is set for pip alone
	@touch $@

clean:
	rm -rf $(VENV) $(CACHE) demo build .fuzz *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
