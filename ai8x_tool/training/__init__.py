"""Training and evaluation of models in PyTorch."""
