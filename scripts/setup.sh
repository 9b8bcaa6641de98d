#!/usr/bin/env bash
# Sets up what the other scripts need: a virtual environment (.venv, unless one is active) with ai8x and the extras
# given as argument, for example "plots,speech". Prints nothing when all is in place. To be sourced.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
extras="${1:-plots,speech}"
if [ -z "${VIRTUAL_ENV:-}" ]; then
  if [ ! -x "$root/.venv/bin/python" ]; then
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
      { echo "ai8x needs Python 3.10 or newer; set PYTHON to one" >&2; exit 1; }
    "${PYTHON:-python3}" -m venv "$root/.venv"
  fi
  # shellcheck disable=SC1091
  source "$root/.venv/bin/activate"
fi
stamp="$VIRTUAL_ENV/.ai8x-$(echo "$extras" | tr ',' '-')"
if [ ! -e "$stamp" ] || [ "$root/pyproject.toml" -nt "$stamp" ]; then
  echo "installing ai8x with its dependencies (torch is large: this takes a minute or more)" >&2
  python -m pip install --quiet --disable-pip-version-check --editable "$root[$extras]"
  touch "$stamp"
fi
