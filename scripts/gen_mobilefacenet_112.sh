#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize mobilefacenet_112 --checkpoint mobilefacenet_112-q.pth.tar --output build/mobilefacenet_112 "$@"
