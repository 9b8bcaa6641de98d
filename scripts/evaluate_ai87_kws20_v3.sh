#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate ai87_kws20_v3 --checkpoint ai87_kws20_v3-q.pth.tar --8bit "$@"
