#!/usr/bin/env bash
# Trains cifar100_qat_mixed; options of `ai8x train` are passed on.
exec ai8x train cifar100_qat_mixed "$@"
