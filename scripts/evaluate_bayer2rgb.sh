#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate bayer2rgb --checkpoint bayer2rgb-q.pth.tar --8bit "$@"
