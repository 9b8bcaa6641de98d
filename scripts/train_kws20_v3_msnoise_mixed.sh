#!/usr/bin/env bash
# Trains kws20_v3_msnoise_mixed; options of `ai8x train` are passed on.
exec ai8x train kws20_v3_msnoise_mixed "$@"
