# Needs python3 (3.11 or newer), make and git. Everything else is installed by these targets:
# Python packages into .venv, test servers into ~/.cache/s3sink, Debian packages when run as root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := ingester/src operator/src tests
INGESTER_IMAGE ?= s3sink-ingester:0.1.0

export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup serve run demo check format test e2e bench cluster lock manifests images tools clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## install the development environment into .venv

$(READY): requirements/dev.lock ingester/pyproject.toml operator/pyproject.toml
	@uv=$$(scripts/uv.sh $(PYTHON)) && \
	$$uv venv --quiet --clear --python $(PYTHON) $(VENV) && \
	$$uv pip install --quiet --python $(VENV) --require-hashes -r requirements/dev.lock && \
	$$uv pip install --quiet --python $(VENV) --no-deps --no-build-isolation -e ingester -e operator
	@touch $@

serve: $(READY) ## one ingester on port 8888 with no settings: records and objects go to ./local
	$(BIN)/s3sink-ingester serve --local local

run: $(READY) ## the operator, on this machine, against the current kube context (see `make cluster`)
	$(BIN)/s3sink-operator --dev --ingester-image $(INGESTER_IMAGE)

demo: $(READY) ## three million flights through HTTP, a kill -9 and S3; every record is found once
	@scripts/system-packages.sh npm
	$(BIN)/python -m tests.demo

check: $(READY) ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

format: $(READY) ## put the source into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tests wait more than they compute, so two at a time take half as long; a file's tests share servers.
test: check tools ## everything but e2e: check, then unit, contract, Helm, S3, crash, cluster and demo tests
	@scripts/system-packages.sh npm
	S3SINK_TOOLS=$$(tests/cluster/build.sh --print-dir) $(BIN)/pytest -n 2 --dist loadfile

e2e: $(READY) ## pods of the real images on two real nodes, as root; or on your cluster: KUBECONFIG=...
	scripts/e2e.sh

bench: $(READY) tools ## measure throughput, with peers that are on PATH beside it
	@scripts/system-packages.sh wrk
	S3SINK_TOOLS=$$(tests/cluster/build.sh --print-dir) $(BIN)/python -m tests.bench

cluster: $(READY) tools ## a Kubernetes control plane with the CRD and nodes that run ingesters; prints its kubeconfig
	@S3SINK_TOOLS=$$(tests/cluster/build.sh --print-dir) $(BIN)/python -m tests.cluster

images: ## build the images of ingester and operator (BASE=, REPOSITORY=, TAG=: see scripts/images.sh)
	scripts/images.sh

tools: ## build the servers that tests run against, once a machine
	tests/cluster/build.sh

manifests: $(READY) ## write what is made from the S3Sink's types and the chart: CRD, its page, deploy/
	$(BIN)/python -m s3sink_operator.crd > $(VENV)/.made && mv $(VENV)/.made crds/s3sinks.s3sink.dev.yaml
	$(BIN)/python -m s3sink_operator.crd reference > $(VENV)/.made && mv $(VENV)/.made docs/s3sink.md
	scripts/manifests.sh "$$(tests/cluster/build.sh --print-dir helm)/helm"

lock: ## resolve requirements/*.lock again (UPGRADE=1: to the newest versions)
	scripts/lock.sh "$$(scripts/uv.sh $(PYTHON))" $(if $(UPGRADE),--upgrade)

clean: ## remove the environment and every cache of this work tree
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
