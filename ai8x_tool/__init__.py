"""Train, quantize, evaluate and synthesize neural networks for the MAX78000 and MAX78002 CNN accelerator."""

__version__ = "0.1.0"
