#!/usr/bin/env python3
"""Write the card of a quantized checkpoint from its file and the result of `ai8x evaluate RECIPE -8`.

Usage: weight_card.py NAME CHECKPOINT RESULT.json --recipe RECIPE --made-by COMMAND [--url URL]; the card is
models/checkpoints/NAME.yaml.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import yaml

from ai8x_tool.settings.files import read_recipe

FOLDER = Path(__file__).resolve().parents[1] / "models" / "checkpoints"
METRICS = {"top1": "Top1 {:.2f} %", "mse": "MSE {:.5f}", "map": "mAP {:.3f}"}


def main() -> None:
    """Write a card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("name", "checkpoint", "result"):
        parser.add_argument(name)
    for name in ("--recipe", "--made-by"):
        parser.add_argument(name, required=True)
    parser.add_argument("--url")
    given = parser.parse_args()
    result, recipe = json.loads(Path(given.result).read_text()), read_recipe(given.recipe)
    checkpoint = Path(given.checkpoint)
    if not result["simulate_8bit"]:
        raise SystemExit("the result must be one of evaluate --8bit")
    metric = next(text.format(result[key]) for key, text in METRICS.items() if key in result)
    content = {
        "file": checkpoint.name,
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "url": given.url,
        "model": result["model"],
        "dataset": result["dataset"],
        "note": result["note"],
        "recipe": recipe.name,
        "accuracy": f"{metric} of {result['samples']} test samples, 8 bit",
        "made_by": given.made_by,
    }
    text = yaml.safe_dump({key: value for key, value in content.items() if value}, sort_keys=False, allow_unicode=True)
    (FOLDER / f"{given.name}.yaml").write_text("# Written by scripts/weight_card.py\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
