"""Cards: one leaderboard row a file."""
