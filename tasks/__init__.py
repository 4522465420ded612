"""Tasks: one question a pair, declared in `<task>.toml` and scored in `<task>.py`."""
