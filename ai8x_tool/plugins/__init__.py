"""Search and execution of model and dataset files."""
