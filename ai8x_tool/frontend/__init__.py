"""From descriptions and models to networks."""
