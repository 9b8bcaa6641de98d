#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate imagenet_effnet2 --checkpoint imagenet_effnet2-q.pth.tar --8bit "$@"
