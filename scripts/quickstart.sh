#!/usr/bin/env bash
# Installs Gristmill into .venv and builds recipes/quickstart.yaml: offline after the install, under two minutes.
# Where the extra `train` is installed too, it ends with a verdict: does this corpus teach? In under three more minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh quickstart
.venv/bin/gristmill build recipes/quickstart.yaml --offline "$@"
if .venv/bin/python -c 'import torch' 2>/dev/null; then
    .venv/bin/gristmill build recipes/quickstart-outside.yaml --offline --json > build/quickstart-outside.json
    .venv/bin/gristmill validate build/quickstart --held-out build/quickstart-outside --drop-overlap
fi
echo "Look around:          .venv/bin/gristmill report build/quickstart   (a page for the browser)"
echo "                      .venv/bin/gristmill peek build/quickstart   and   .venv/bin/gristmill --help"
echo "A corpus of your own: .venv/bin/gristmill new"
