#!/usr/bin/env bash
# Trains mnist_extrasmall; options of `ai8x train` are passed on.
exec ai8x train mnist_extrasmall "$@"
