#!/usr/bin/env bash
# Installs ai8x with everything its tests need, and runs them. Options of pytest are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh plots,speech,detection,images,tensorboard,onnx,virtual,test
exec python -m pytest "$@"
