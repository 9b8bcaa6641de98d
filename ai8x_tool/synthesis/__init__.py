"""Synthesis of C projects from networks."""
