"""Building, loading and folding PyTorch models, and facts about them."""
