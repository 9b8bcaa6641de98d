#!/usr/bin/env bash
# Quantizes the best checkpoint of the latest training; options of `ai8x quantize` are passed on.
exec ai8x quantize logs/latest/qat_best.pth.tar bayer2rgb-q.pth.tar --device MAX78002 "$@"
