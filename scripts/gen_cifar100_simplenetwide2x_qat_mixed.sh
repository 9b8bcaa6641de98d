#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize cifar100_simplenetwide2x_qat_mixed --checkpoint cifar100_simplenetwide2x_qat_mixed-q.pth.tar --output build/cifar100_simplenetwide2x_qat_mixed "$@"
