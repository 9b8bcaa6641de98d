#!/usr/bin/env bash
# Trains cifar10_squeezenet; options of `ai8x train` are passed on.
exec ai8x train cifar10_squeezenet "$@"
