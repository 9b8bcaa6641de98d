#!/usr/bin/env bash
# Trains kws12_nas_benchmark; options of `ai8x train` are passed on.
exec ai8x train kws12_nas_benchmark "$@"
