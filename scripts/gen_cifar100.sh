#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize cifar100 --checkpoint cifar100-q.pth.tar --output build/cifar100 "$@"
