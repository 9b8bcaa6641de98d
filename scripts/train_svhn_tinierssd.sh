#!/usr/bin/env bash
# Trains svhn_tinierssd; options of `ai8x train` are passed on.
exec ai8x train svhn_tinierssd "$@"
