#!/usr/bin/env bash
# Trains mobilefacenet_112; options of `ai8x train` are passed on.
exec ai8x train mobilefacenet_112 "$@"
