#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize cifar10_squeezenet --checkpoint cifar10_squeezenet-q.pth.tar --output build/cifar10_squeezenet "$@"
