"""Entry point of ``python -m ai8x_tool``, the same as ``ai8x``, for launchers such as ``torchrun -m``."""

from ai8x_tool.cli.main import program

if __name__ == "__main__":
    program()
