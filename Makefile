# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make env    a working environment, from a bare Debian 12 or Ubuntu 24.04 with python3
# make test   everything that CI runs
# make help   the other targets

PYTHON ?= python3
PY     := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help env

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

env: ## set up or renew .venv, .build and SoftHSM2; quick when nothing changed
	@$(PYTHON) .ci/environment.py
