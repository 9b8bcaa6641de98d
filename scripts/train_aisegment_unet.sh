#!/usr/bin/env bash
# Trains aisegment_unet; options of `ai8x train` are passed on.
exec ai8x train aisegment_unet "$@"
