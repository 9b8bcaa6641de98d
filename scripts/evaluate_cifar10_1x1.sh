#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate cifar10_1x1 --checkpoint cifar10_1x1-q.pth.tar --8bit "$@"
