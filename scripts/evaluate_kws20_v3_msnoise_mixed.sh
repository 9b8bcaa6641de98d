#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate kws20_v3_msnoise_mixed --checkpoint kws20_v3_msnoise_mixed-q.pth.tar --8bit "$@"
