#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize aisegment_unet --checkpoint aisegment_unet-q.pth.tar --output build/aisegment_unet "$@"
