#!/usr/bin/env bash
# Generates the C projects of all MAX78002 demos from the checkpoints that ship with ai8x, below ./build/MAX78002 (or
# $TARGET_DIR). Options of `ai8x synthesize` are passed on to each.
set -euo pipefail
target="${TARGET_DIR:-build/MAX78002}"
for demo in mnist; do
  ai8x synthesize "$demo" --device MAX78002 --output "$target/$demo" "$@"
done
