#!/usr/bin/env bash
# Trains cifar10_1x1; options of `ai8x train` are passed on.
exec ai8x train cifar10_1x1 "$@"
