#!/usr/bin/env bash
# Trains ai87_kws20_v3; options of `ai8x train` are passed on.
exec ai8x train ai87_kws20_v3 "$@"
