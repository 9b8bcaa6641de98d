#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate mnist_qat --checkpoint mnist_qat-q.pth.tar --8bit --confusion "$@"
