#!/usr/bin/env bash
# Trains autoencoder; options of `ai8x train` are passed on.
exec ai8x train autoencoder "$@"
