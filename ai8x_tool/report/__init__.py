"""Tables, statistics and plots."""
