#!/usr/bin/env bash
# Trains camvid_unet; options of `ai8x train` are passed on.
exec ai8x train camvid_unet "$@"
