#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize cifar100_ressimplenet --checkpoint cifar100_ressimplenet-q.pth.tar --output build/cifar100_ressimplenet "$@"
