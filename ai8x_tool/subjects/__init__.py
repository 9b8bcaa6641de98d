"""Subjects of commands that need no training: recipes, network descriptions and models."""
