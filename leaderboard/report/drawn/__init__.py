"""The report's figures, a file a kind: each draws what a board's records hold, and nothing where they hold nothing."""
