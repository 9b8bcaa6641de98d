#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize kws12_nas_benchmark --checkpoint kws12_nas_benchmark-q.pth.tar --output build/kws12_nas_benchmark "$@"
