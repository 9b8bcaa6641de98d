#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate qr_tinierssd --checkpoint qr_tinierssd-q.pth.tar --8bit "$@"
