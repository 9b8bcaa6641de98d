#!/usr/bin/env bash
# Trains bayer2rgb; options of `ai8x train` are passed on.
exec ai8x train bayer2rgb "$@"
