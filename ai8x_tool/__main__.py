"""``python -m ai8x_tool``, and ``torchrun -m ai8x_tool train …``."""

from ai8x_tool.cli.main import main

if __name__ == "__main__":
    main()
