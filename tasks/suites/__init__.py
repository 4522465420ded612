"""Suites: which tasks run on what, and what each may spend."""
