"""Reads records and shows them: tables, paired differences, the regression check. Never imports torch."""
