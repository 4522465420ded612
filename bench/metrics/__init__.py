"""Metrics: pure functions and densities, one concept a file."""
