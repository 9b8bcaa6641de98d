#!/usr/bin/env bash
# Trains pascalvoc_fpndetector; options of `ai8x train` are passed on.
exec ai8x train pascalvoc_fpndetector "$@"
