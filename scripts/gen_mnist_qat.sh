#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize mnist_qat --checkpoint mnist_qat-q.pth.tar --output build/mnist_qat "$@"
