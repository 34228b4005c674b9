# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make env    a working environment, from a bare Debian 12 or 13 or Ubuntu 24.04 with python3
# make test   everything that CI runs
# make help   the other targets

PYTHON   ?= python3
BIN      := .venv/bin
PY       := $(BIN)/python
# Ansible's own tools look at a collection only where collections lie: they run in a copy (see .ci/in_copy.py).
IN_COPY   = $(PY) .ci/in_copy.py $@
PYVER     = $(shell $(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
REPORTS  := .build/reports
# Integration tests run side by side, each process with a database server of its own.
# Three on two cores: a third of them wait for a lease or a service most of the time.
JOBS     ?= 3
# What looks for faults in the page of a report that keep people from reading it.
AXE      := 4.14.1
# Narrow a run down: make unit ARGS="-k envelope -x", make molecule SCENARIOS=rotate
ARGS     ?=
SCENARIOS ?= $(sort $(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))
# Of those on hosts, which take minutes each, CI runs one.
SOME_SCENARIOS := $(filter-out hosts_%,$(SCENARIOS)) hosts_fresh_install_env

CHEAP    := ruff floors yamllint changelog mypy
SLOWER   := docs-lint build ansible-lint
STEPS    := $(CHEAP) unit models $(SLOWER) sanity integration molecule molecule-some

.DEFAULT_GOAL := help
.PHONY: help env test test-slow lint format sbom $(STEPS) browser browser-tools coverage bench chaos hsm-faults integration-hosts docs-codes demo demo-clean hosts hosts-clean hosts-tools lock clean distclean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

env: ## set up or renew .venv, .build and system packages; quick when nothing changed
	@$(PYTHON) .ci/environment.py

test: env ## everything that CI runs, cheap steps first; all steps run, molecule beside some, the summary comes last
	@$(PY) .ci/steps.py $(CHEAP) unit models 'molecule-some&' $(SLOWER) sanity integration

test-slow: env ## the tests marked slow: large data, long kill-and-resume series
	@mkdir -p $(REPORTS)
	$(PY) -m pytest -m "slow and not hosts" --junitxml=$(REPORTS)/slow.xml $(ARGS)

lint: env ## all linters, without sanity
	@$(PY) .ci/steps.py $(CHEAP) $(SLOWER)

format: ## rewrite Python files in the house format
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

ruff:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: ## types of plugins/module_utils, strict
	$(BIN)/mypy -p ansible_collections.certautopilot.ops.plugins.module_utils

floors: ## who may import what (pyproject.toml, [tool.importlinter])
	PYTHONPATH=.build/collections $(BIN)/lint-imports --cache-dir .build/import-linter

yamllint:
	$(BIN)/yamllint --strict .

ansible-lint: ## production profile and the optional rules of .ansible-lint
	$(IN_COPY) ansible-lint --offline --strict --profile production

docs-lint: ## documentation of modules, roles and docsite
	$(IN_COPY) antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .

docs-codes: ## write the guide of failure codes from what the source says
	$(PY) .ci/failure_codes.py

changelog: ## changelog fragments
	$(IN_COPY) antsibull-changelog lint

build: ## the collection as an archive, built and imported as Galaxy would
	$(IN_COPY) sh -c 'ansible-galaxy collection build --force --output-path ../../.. && \
	  python -m galaxy_importer.main ../../../certautopilot-ops-*.tar.gz'

sbom: ## the bill of materials of a release, CycloneDX, beside the archive
	@mkdir -p .build/copies/build
	$(PY) .ci/sbom.py .build/copies/build/certautopilot-ops.cdx.json

sanity: ## ansible-test sanity, in virtual environments of its own
	$(IN_COPY) ansible-test sanity --venv --python $(PYVER) --color no $(ARGS)

unit: ## unit tests
	@mkdir -p $(REPORTS)
	$(PY) -m pytest tests/unit -m "not slow" --junitxml=$(REPORTS)/unit.xml $(ARGS)

models: ## what must hold in every reachable state of migration and rotation, by spin (ARGS="-m slow": minutes more)
	@$(PYTHON) .ci/tools.py models || echo "the models are not checked without spin and gcc"
	@mkdir -p $(REPORTS)
	$(PY) -m pytest tests/models -m "not slow" -n 2 --dist worksteal --junitxml=$(REPORTS)/models.xml $(ARGS)

integration: ## tests against SoftHSM2 and a MongoDB-protocol server
	@mkdir -p $(REPORTS)
	$(PY) -m pytest tests/integration -m "not slow and not hosts" -n $(JOBS) --dist loadfile --no-loadscope-reorder \
	  --junitxml=$(REPORTS)/integration.xml $(ARGS)

integration-hosts: env hosts-tools ## tests on real hosts with systemd, half an hour (ARGS="-k switch" some, ARGS="-m hosts" the long ones as well, HOSTS_SUITE=trixie: all on Debian 13)
	@mkdir -p $(REPORTS)
	$(PY) -m pytest tests/integration -m "hosts and not slow" --junitxml=$(REPORTS)/hosts.xml $(ARGS)

browser: env browser-tools ## the page of a report in Chromium, read by axe-core; pictures are in .build/reports/pages
	@mkdir -p $(REPORTS)
	$(PY) -m pytest tests/integration/test_report_in_a_browser.py --junitxml=$(REPORTS)/browser.xml $(ARGS)

browser-tools: ## install Chromium and fetch axe-core; the tests of the page are skipped without
	@$(PYTHON) .ci/tools.py browser
	@mkdir -p .build/axe && cd .build/axe && { test -d package || { \
	  npm pack --silent axe-core@$(AXE) && tar -xzf axe-core-$(AXE).tgz; }; } \
	  || echo "no axe-core here, which npm fetches: what it finds is not tested"

molecule: ## every scenario below molecule/, one after the other, an hour and more (SCENARIOS="rotate_online …": those)
	$(PY) .ci/scenarios.py $(SCENARIOS)

molecule-some: ## those that CI runs: every one without hosts, and one with
	$(PY) .ci/scenarios.py $(SOME_SCENARIOS)

coverage: ## lines and branches of plugins/ that the unit and integration tests reach
	@rm -rf .build/coverage && mkdir -p .build/coverage
	$(BIN)/coverage run -m pytest -m "not slow" $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: env ## measure rotations against their floors, over 10 minutes (ARGS=--quick: one); writes build/bench.json
	@test -d .build/bench-libs/pymongocrypt || $(PY) -m pip install --quiet --only-binary :all: \
	  --target .build/bench-libs pymongocrypt==1.21.2 || echo "pymongocrypt: not installed, its rows are left out"
	PYTHONPATH=.build/collections:. $(PY) -m tests.performance.bench $(ARGS)

chaos: env ## two rotations of 20,000 envelopes under load, 20 kills (ARGS="--seed N" replays, --short is small)
	PYTHONPATH=.build/collections:. $(PY) -m tests.chaos $(ARGS)

hsm-faults: env ## each function of the HSM's library fails, hangs, crashes or lies, at each verb; an hour (ARGS="--verbs init" narrows)
	PYTHONPATH=.build/collections:. $(PY) -m tests.hsm_faults $(ARGS)

demo: env ## an installation to try things on: stand-in service, database, SoftHSM2 token
	$(PY) -m tests.support.demo

demo-clean: ## stop and remove the demo
	$(PY) -m tests.support.demo --clean

hosts: env ## real hosts with systemd to try things on, by ssh (ARGS="--suite trixie --hosts source-1,destination-1")
	@$(PY) .ci/tools.py hosts
	@$(PY) -m tests.support.hosts up --dir .hosts $(ARGS)

hosts-clean: ## remove them: containers, network, folder (ARGS=--images: their images as well)
	@$(PY) -m tests.support.hosts down --dir .hosts $(ARGS)

hosts-tools: ## install what hosts need (podman, runc, mmdebstrap); molecule's scenarios with hosts are skipped without
	@$(PYTHON) .ci/tools.py hosts

lock: ## renew the locks in requirements/ from the .in files
	$(PY) .ci/lock.py

clean: ## remove what runs leave behind; keeps .venv
	rm -rf .build/copies .build/reports .build/coverage .build/mypy .build/pytest .build/import-linter .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './.build/*' -type d -prune -exec rm -rf {} +

distclean: clean ## the above, and .venv and .build
	rm -rf .venv .build
