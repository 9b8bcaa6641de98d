#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate cifar100_qat8_mobilenet_v2_0.5 --checkpoint cifar100_qat8_mobilenet_v2_0.5-q.pth.tar --8bit "$@"
