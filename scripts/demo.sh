#!/usr/bin/env bash
# Trains, quantizes, evaluates, synthesizes and verifies a keyword-spotting network on synthetic speech; needs no download
# beyond the packages. Options of `ai8x demo` are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh plots,speech,virtual
exec ai8x demo "$@"
