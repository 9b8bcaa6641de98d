#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize bayer2rgb --checkpoint bayer2rgb-q.pth.tar --output build/bayer2rgb "$@"
