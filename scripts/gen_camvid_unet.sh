#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize camvid_unet --checkpoint camvid_unet-q.pth.tar --output build/camvid_unet "$@"
