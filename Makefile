# Intercloud. `make` alone lists what there is. Everything installs what it needs; root or sudo is presupposed.
SHELL := /bin/bash
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON ?= python3
RUN := $(SUDO) .venv/bin/intercloud
OPERATOR := ip netns exec ic-os--operator
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: install ## bring up two clouds on this computer and move a running cluster between them
	@bash scripts/demo.sh $(RUN)

test: install ## run every test; those of the lab need root
	$(SUDO) env INTERCLOUD_NO_SKIP=$(INTERCLOUD_NO_SKIP) .venv/bin/python -m unittest discover -s tests

test-long: install ## the same, with the tests that take a minute or more each; some 45 minutes
	$(SUDO) env INTERCLOUD_LONG=1 INTERCLOUD_NO_SKIP=$(INTERCLOUD_NO_SKIP) .venv/bin/python -m unittest discover -s tests

check: install ## formatting, lint, types, directions of imports, budgets
	.venv/bin/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ."; exit 1; }
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python -m unittest -q tests.unit.test_house

bench: install .venv/installed-bench ## measure side by side with what people use, quickly; prints tables, writes a page
	$(SUDO) .venv/bin/python -m benchmarks --quick

bench-full: install .venv/installed-bench ## the same with every scenario and ten samples of each; some hours
	$(SUDO) .venv/bin/python -m benchmarks

chaos: install ## inject 200 faults into moves, one each, and count what is lost, left or stuck; some two hours
	$(SUDO) .venv/bin/python -m benchmarks.chaos

lab-up: install ## bring the lab up, with its demo cluster
	$(RUN) lab up

lab-down: install ## take the lab down to the last process
	$(RUN) lab down

openstack-up: install .venv-openstack/installed ## bring two real OpenStack clouds up on this computer, for work on their adapter
	$(SUDO) .venv/bin/python -m testbed up

openstack-down: ## take the two OpenStack clouds down to the last process; their databases are kept for the next start
	$(SUDO) .venv/bin/python -m testbed down

test-openstack: openstack-up ## run the tests that need the two OpenStack clouds; with INTERCLOUD_LONG=1 all of them
	$(SUDO) $(OPERATOR) env INTERCLOUD_NO_SKIP=$(INTERCLOUD_NO_SKIP) INTERCLOUD_LONG=$(INTERCLOUD_LONG) \
		.venv/bin/python -m unittest discover -s tests/openstack

install: .venv/installed ## Debian packages and the Python environment in .venv

.venv/installed: scripts/packages.sh packages.txt requirements.txt requirements-dev.txt pyproject.toml scripts/install.sh
	@bash scripts/install.sh "$(SUDO)" "$(PYTHON)"
	@touch $@

.venv/installed-bench: benchmarks/packages.txt .venv/installed
	@bash scripts/packages.sh "$(SUDO)" benchmarks/packages.txt
	@touch $@

.venv-openstack/installed: scripts/packages.sh testbed/packages.txt testbed/requirements.txt testbed/constraints.txt testbed/install.sh
	@bash testbed/install.sh "$(SUDO)" "$(PYTHON)"
	@touch $@

.PHONY: help demo test check bench bench-full chaos lab-up lab-down openstack-up openstack-down test-openstack install
