"""What can be analyzed before it is trained: recipes, network descriptions and models."""
