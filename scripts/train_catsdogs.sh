#!/usr/bin/env bash
# Trains catsdogs; options of `ai8x train` are passed on.
exec ai8x train catsdogs "$@"
