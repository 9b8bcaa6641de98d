#!/usr/bin/env bash
# Trains kws20_nas_msnoise_mixed; options of `ai8x train` are passed on.
exec ai8x train kws20_nas_msnoise_mixed "$@"
