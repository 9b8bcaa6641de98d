#!/usr/bin/env bash
# Generates the C projects of demos for a device: gen-demos.sh DEVICE DEMO … [-- OPTION …]. They go below ./build/DEVICE
# (or $TARGET_DIR), from the checkpoints that quantize_DEMO.sh made (DEMO-q.pth.tar, here or in $CHECKPOINTS), else from
# those that ship with ai8x. A demo without a checkpoint is named and skipped. Options go to each `ai8x synthesize`.
set -euo pipefail
device="$1"
shift
target="${TARGET_DIR:-build/$device}"
shipped=" mnist kws20_v3 ai87_kws20_v3 "
demos=()
while [[ $# -gt 0 && "$1" != -- ]]; do
  demos+=("$1")
  shift
done
for demo in "${demos[@]}"; do
  given="${CHECKPOINTS:-.}/$demo-q.pth.tar"
  if [[ -f "$given" ]]; then
    ai8x synthesize "$demo" --device "$device" --checkpoint "$given" --output "$target/$demo" "${@:2}"
  elif [[ "$shipped" == *" $demo "* ]]; then
    ai8x synthesize "$demo" --device "$device" --output "$target/$demo" "${@:2}"
  else
    echo "$demo: skipped, there is no $given (scripts/train_$demo.sh and scripts/quantize_$demo.sh make it)"
  fi
done
