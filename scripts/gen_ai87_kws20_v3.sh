#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize ai87_kws20_v3 --checkpoint ai87_kws20_v3-q.pth.tar --output build/ai87_kws20_v3 "$@"
