"""What can be analyzed before it is trained: recipes, network descriptions and models."""

from ai8x_tool.subjects.analyze import analyze
from ai8x_tool.subjects.find import recipe_of

__all__ = ["analyze", "recipe_of"]
