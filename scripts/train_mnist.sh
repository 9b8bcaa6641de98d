#!/usr/bin/env bash
# Trains mnist; options of `ai8x train` are passed on.
exec ai8x train mnist "$@"
