#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize facedet_tinierssd --checkpoint facedet_tinierssd-q.pth.tar --output build/facedet_tinierssd "$@"
