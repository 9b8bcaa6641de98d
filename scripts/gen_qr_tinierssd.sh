#!/usr/bin/env bash
# Generates the C project of the quantized network; options of `ai8x synthesize` are passed on.
exec ai8x synthesize qr_tinierssd --checkpoint qr_tinierssd-q.pth.tar --output build/qr_tinierssd "$@"
