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
# Tests write tens of thousands of small files: into memory, where there is enough and programs may run. With TMPDIR set,
# they are written there and kept.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')" -gt 2000000 ]; then
  folder="$(mktemp -d /dev/shm/ai8x-tests.XXXXXX)"
  trap 'rm -rf "$folder"' EXIT
  if cp "$(type -P true)" "$folder/true" && "$folder/true" 2> /dev/null; then
    export TMPDIR="$folder"
  fi
fi
python -m pytest -n logical --dist worksteal "$@"
