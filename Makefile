# Everything sets itself up: python3 (3.11 or 3.12) with venv, make, git and a package index are all there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := .uv/bin/uv
HOME_DIR ?= .fairlead
export HYPOTHESIS_STORAGE_DIRECTORY := .hypothesis
# Threads that spin while they wait starve each other where tests run in parallel.
export OMP_WAIT_POLICY := PASSIVE
# Steps and servers are processes of their own: without cached bytecode each compiles its libraries anew, 5 s for some.
export PYTHONDONTWRITEBYTECODE :=

help:  ## This text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/runtime  ## The whole loop on a year of flights; the report is .fairlead/report/report.html
	@$(BIN)/fairlead demo --home $(HOME_DIR)

serve: .venv/runtime  ## Serve the champion at http://127.0.0.1:8080
	@$(BIN)/fairlead serve flight-delay --home $(HOME_DIR)

test: .venv/dev  ## All tests but the slow ones and those that need a redis-server, a Prometheus, alibi-detect or a cluster
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not redis and not prometheus and not foreign and not kfp and not cluster and not alibi"
	@$(BIN)/python -m pytest tests/local/test_foreign_clients.py

test-redis: .venv/dev  ## The tests on a real redis-server, which must be on the PATH
	@$(BIN)/python -m pytest -m redis

test-prometheus: .venv/dev  ## The tests on a real Prometheus and Alertmanager, which must be on the PATH
	@$(BIN)/python -m pytest -m prometheus

test-alibi: .venv/dev .venv-alibi/ready  ## The tests of alibi-detect, in an environment of its own (Python 3.11)
	@FAIRLEAD_ALIBI_PYTHON=.venv-alibi/bin/python $(BIN)/python -m pytest -n 0 -m alibi

test-cluster: .venv/dev  ## The tests on the cluster of KUBECONFIG
	@$(BIN)/python -m pytest -m cluster $(OPTIONS)

check: .venv/dev  ## Linters, types, layers, specs, freshness of rendered files, and the slow tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/fairlead check
	$(BIN)/fairlead render --check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

bench: .venv/dev  ## All benchmarks, one after the other
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-serving: .venv/dev .bench/peers/ready  ## Our server beside its peers; OPTIONS=--quick for a try
	@$(BIN)/python -m benchmarks.serving $(OPTIONS)

render: .venv/dev  ## Write the rendered files
	@$(BIN)/fairlead render

lock: $(UV)  ## Resolve the locks anew
	$(UV) pip compile -q pyproject.toml --universal --generate-hashes -c requirements/constraints.txt --no-annotate --no-header -o requirements/runtime.txt
	$(UV) pip compile -q pyproject.toml --group dev --universal --generate-hashes -c requirements/constraints.txt --no-annotate --no-header \
		-c requirements/runtime.txt -o requirements/dev.txt
	$(UV) pip compile -q --group bench-peers --universal --generate-hashes -c requirements/constraints.txt --no-annotate --no-header \
		-o requirements/bench-peers.txt
	$(UV) pip compile -q --group serving --universal --generate-hashes -c requirements/runtime.txt --no-annotate --no-header \
		--excludes requirements/serving-excludes.txt -o requirements/serving.txt
	$(UV) pip compile -q --group monitoring --universal --generate-hashes -c requirements/runtime.txt --no-annotate --no-header \
		-o requirements/monitoring.txt
	$(UV) pip compile -q --group stand-ins --universal --generate-hashes -c requirements/dev.txt --no-annotate --no-header \
		-o requirements/stand-ins.txt
	$(UV) pip compile -q --group alibi --python-version 3.11 --universal --generate-hashes --no-annotate --no-header -o requirements/alibi.txt
	$(UV) pip compile -q --group image-build --universal --generate-hashes --no-annotate --no-header -o requirements/image-build.txt

images: $(UV)  ## Build the images with docker, podman or buildah; BASE, TAG, REGISTRY and PUSH in docs/how-to/build-images.md
	@.uv/bin/python .ci/images build $(IMAGES)

clean:  ## Remove the environments and the demo's home
	rm -rf .venv .venv-alibi .uv .bench $(HOME_DIR)

.uv/bin/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed, but neither is on the PATH" >&2; exit 1; }
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/bin/python: | $(UV)
	@$(UV) venv -q --python $(PYTHON) .venv

# A stamp for each set of packages; the larger one serves for both.
.venv/runtime: requirements/runtime.txt pyproject.toml | .venv/bin/python
	@if [ -e .venv/dev ] && [ .venv/dev -nt requirements/dev.txt ]; then :; else \
		echo "installing Fairlead and its libraries (once)" && \
		$(UV) pip install -q --python .venv --require-hashes -r requirements/runtime.txt && \
		$(UV) pip install -q --python .venv --no-deps -e . ; fi
	@touch $@

.venv/dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "installing Fairlead, its libraries and the tools of its tests (once)"
	@$(UV) pip sync -q --python .venv --require-hashes requirements/dev.txt
	@$(UV) pip install -q --python .venv --no-deps -e .
	@touch $@

.venv-alibi/ready: requirements/alibi.txt | $(UV)
	@echo "installing alibi-detect (once)"
	@$(UV) venv -q --clear --python 3.11 .venv-alibi
	@$(UV) pip sync -q --python .venv-alibi --require-hashes requirements/alibi.txt
	@touch $@

.bench/peers/ready: requirements/bench-peers.txt | .venv/bin/python
	@echo "installing the servers to compare with (once)"
	@$(UV) venv -q --clear --python .venv/bin/python .bench/peers
	@$(UV) pip sync -q --python .bench/peers --require-hashes requirements/bench-peers.txt
	@touch $@

.PHONY: help demo serve test test-redis test-prometheus test-alibi test-cluster check bench bench-serving render lock images clean
