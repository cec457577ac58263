# `make` lists the targets. Every target that runs Python makes .venv first; a second call finds it ready.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON_IN_VENV := .venv/bin/python
ARGS ?=
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: ## make .venv with everything to run, test, evaluate and bench
	@./bootstrap.sh

.PHONY: demo
demo: install ## start the service, ship a simulated shop with planted incidents, show what was found (ARGS="--once --port 9000")
	@.venv/bin/tocsin demo $(ARGS)

.PHONY: run
run: install ## start the service on ./tocsin-data (ARGS="--port 9000")
	@.venv/bin/tocsin run $(ARGS)

.PHONY: test
test: install check ## check the code, then run every test (ARGS="-k journal")
	$(PYTHON_IN_VENV) -m pytest -n $(WORKERS) --dist worksteal -q $(ARGS)

.PHONY: check
check: install ## format, lint, types, layers
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

.PHONY: format
format: install ## format the code and mend what the linter can
	.venv/bin/ruff check --quiet --fix .
	.venv/bin/ruff format --quiet .

.PHONY: bench
bench: install ## measure speed (ARGS="e2e --quick")
	@.venv/bin/tocsin bench $(if $(ARGS),$(ARGS),e2e)

.PHONY: docs
docs: install ## write docs/reference from the code
	@$(PYTHON_IN_VENV) docs/generate.py

.PHONY: clean
clean: ## remove .venv, caches and demo data
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis .import_linter_cache .syslog-ng tests/node/node_modules dist build demo-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
