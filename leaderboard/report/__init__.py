"""The report: records as a static site that works from a folder, without a network."""
