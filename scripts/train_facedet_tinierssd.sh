#!/usr/bin/env bash
# Trains facedet_tinierssd; options of `ai8x train` are passed on.
exec ai8x train facedet_tinierssd "$@"
