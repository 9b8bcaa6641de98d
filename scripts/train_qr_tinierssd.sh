#!/usr/bin/env bash
# Trains qr_tinierssd; options of `ai8x train` are passed on.
exec ai8x train qr_tinierssd "$@"
