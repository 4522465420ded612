"""Processes with closed-form answers, one a file, and what a self-test made from them is."""
