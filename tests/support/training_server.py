"""Trains in forked processes, so that each starts at once: reads settings from standard input, one JSON a line.

Answers with the process id, and when it has ended with its exit status.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Serve until standard input ends."""
    import torch
    import torch._dynamo  # optimizers import it when they are first used: once here, not once in every child

    from ai8x_tool.console import Console
    from ai8x_tool.settings.resolve import resolve
    from ai8x_tool.settings.training import TrainSettings
    from ai8x_tool.training.trainer import Trainer, train

    Trainer._draw = lambda *_: None
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            try:
                train(resolve(TrainSettings, "train", given=json.loads(line)), Console(verbosity=-1))
            except BaseException as error:  # reported by the status; the server's own code must not go on here
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
