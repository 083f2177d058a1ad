#!/usr/bin/env bash
# What the code must pass before any test: format, lint, types, and who may import whom.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
.venv/bin/mypy --strict pipeline/core pipeline/run pipeline/library.py pipeline/__init__.py
.venv/bin/lint-imports --no-cache
