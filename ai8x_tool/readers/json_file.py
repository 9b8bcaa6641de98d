"""Reader of JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import read_text

_MOST_BYTES = 1 << 22


def read_json(path: Path, most_bytes: int = _MOST_BYTES) -> Any:
    """Return the content of a JSON file. Raises Ai8xError, which names the line, for wrong syntax."""
    text = read_text(path, most_bytes)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Ai8xError(f"JSON syntax error: {error.msg}", where=f"{path}:{error.lineno}") from None
    except RecursionError:
        raise Ai8xError("JSON values are nested too deeply", where=str(path)) from None
    except ValueError:  # an integer of thousands of digits
        raise Ai8xError("a number has too many digits", where=str(path)) from None
