#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize kws20_v3_msnoise_mixed --checkpoint kws20_v3_msnoise_mixed-q.pth.tar --output build/kws20_v3_msnoise_mixed "$@"
