#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate pascalvoc_fpndetector --checkpoint pascalvoc_fpndetector-q.pth.tar --8bit "$@"
