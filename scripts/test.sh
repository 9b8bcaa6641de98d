#!/usr/bin/env bash
# Installs ai8x with everything its tests need, and runs them on all processors. Options of pytest are passed on:
# -m "not slow" leaves out the tests that take about five seconds or more, -n 0 runs everything in one process.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh plots,speech,vision,detection,images,tensorboard,onnx,virtual,test
# Hundreds of processes import the same modules: what one has compiled, the others read.
unset PYTHONDONTWRITEBYTECODE
# A process for each processor, of one thread each; a module's tests stay together until a process runs out of work.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m pytest -n logical --dist worksteal "$@"
