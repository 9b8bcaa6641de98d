#!/usr/bin/env bash
# Installs ai8x with everything its tests need, and runs them on all processors. Options of pytest are passed on:
# -m "not slow" leaves out the tests that take about five seconds or more, -n 0 runs everything in one process.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh plots,speech,sound,vision,detection,images,tensorboard,onnx,virtual,test
# Hundreds of processes import the same modules: what one has compiled, the others read.
unset PYTHONDONTWRITEBYTECODE
# A process for each processor, of one thread each; a module's tests stay together until a process runs out of work.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Freed memory is kept: asking the system for the pages of every tensor again takes a tenth of the time.
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-8000000000}"
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-4000000000}"
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
