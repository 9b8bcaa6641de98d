#!/usr/bin/env bash
# Trains kinetics; options of `ai8x train` are passed on.
exec ai8x train kinetics "$@"
