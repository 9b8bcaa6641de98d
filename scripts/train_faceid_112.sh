#!/usr/bin/env bash
# Trains faceid_112; options of `ai8x train` are passed on.
exec ai8x train faceid_112 "$@"
