"""Model and dataset files: finding and loading them."""
