#!/usr/bin/env bash
# Installs Gristmill for development into .venv, then runs the checks and the whole test suite, on two cores.
# The inner loop is: scripts/test.sh -m "not slow"
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh dev
scripts/check.sh
.venv/bin/python -m pytest -n 2 --dist loadfile "$@"
