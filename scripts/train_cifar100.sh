#!/usr/bin/env bash
# Trains cifar100; options of `ai8x train` are passed on.
exec ai8x train cifar100 "$@"
