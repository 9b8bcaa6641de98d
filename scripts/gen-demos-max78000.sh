#!/usr/bin/env bash
# Generates the C projects of all MAX78000 demos from the checkpoints that ship with ai8x, below ./build/MAX78000 (or
# $TARGET_DIR). Options of `ai8x synthesize` are passed on to each.
set -euo pipefail
target="${TARGET_DIR:-build/MAX78000}"
for demo in mnist kws20_v3; do
  ai8x synthesize "$demo" --device MAX78000 --output "$target/$demo" "$@"
done
