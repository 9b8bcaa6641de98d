"""``python -m ai8x_tool`` is ``ai8x``, for launchers such as ``torchrun -m``."""

from ai8x_tool.cli.main import main

if __name__ == "__main__":
    main()
