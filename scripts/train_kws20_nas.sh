#!/usr/bin/env bash
# Trains kws20_nas; options of `ai8x train` are passed on.
exec ai8x train kws20_nas "$@"
