#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate kws12_nas_benchmark --checkpoint kws12_nas_benchmark-q.pth.tar --8bit "$@"
