#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize faceid_112 --checkpoint faceid_112-q.pth.tar --output build/faceid_112 "$@"
