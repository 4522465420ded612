"""What each family must recover on calibration processes, one file a family."""
