#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize imagenet_effnet2 --checkpoint imagenet_effnet2-q.pth.tar --output build/imagenet_effnet2 "$@"
