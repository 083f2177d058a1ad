#!/usr/bin/env bash
# What the code must pass before any test: format, lint, types, and who may import whom.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
.venv/bin/mypy --strict pipeline/core pipeline/run pipeline/library.py pipeline/__init__.py
.venv/bin/lint-imports --no-cache

# Known weaknesses of the pinned versions: where pip-audit is installed, and its service answers for one of them in time.
audit() { timeout "$1" .venv/bin/pip-audit --progress-spinner off --timeout 3 --disable-pip --no-deps -r "$2"; }
first=$(mktemp)
trap 'rm -f "$first"' EXIT
grep -m 1 '==' constraints.txt > "$first"
if [ ! -x .venv/bin/pip-audit ]; then
  echo "pip-audit: skipped, it is not installed (pip install pip-audit)"
elif said=$(audit 6 "$first" 2>&1) || [[ $said == *"Found "* ]]; then
  audit 300 constraints.txt
else
  echo "pip-audit: skipped, its service cannot be reached"
fi
