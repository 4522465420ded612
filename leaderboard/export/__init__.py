"""Results for other programs: tidy tables through pyarrow, and the metadata of a Hugging Face model card."""

from leaderboard.export.tidy import results, values

__all__ = ["results", "values"]
