#!/usr/bin/env bash
# Evaluates the quantized network as the hardware computes it; options of `ai8x evaluate` are passed on.
exec ai8x evaluate kws20_nas --checkpoint kws20_nas-q.pth.tar --8bit --confusion "$@"
