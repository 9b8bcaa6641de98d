#!/usr/bin/env bash
# Trains mnist_qat; options of `ai8x train` are passed on.
exec ai8x train mnist_qat "$@"
