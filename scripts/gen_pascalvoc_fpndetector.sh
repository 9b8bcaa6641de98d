#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize pascalvoc_fpndetector --checkpoint pascalvoc_fpndetector-q.pth.tar --output build/pascalvoc_fpndetector "$@"
