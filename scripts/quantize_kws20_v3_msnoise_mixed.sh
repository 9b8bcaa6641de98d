#!/usr/bin/env bash
# Quantizes the best checkpoint of the latest training; options of `ai8x quantize` are passed on.
exec ai8x quantize logs/latest/qat_best.pth.tar kws20_v3_msnoise_mixed-q.pth.tar "$@"
