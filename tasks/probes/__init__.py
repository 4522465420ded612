"""The fixed readers that tasks fit on what a submission exposes."""
