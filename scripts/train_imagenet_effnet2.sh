#!/usr/bin/env bash
# Trains imagenet_effnet2; options of `ai8x train` are passed on.
exec ai8x train imagenet_effnet2 "$@"
