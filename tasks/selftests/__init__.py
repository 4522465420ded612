"""What each task's estimators must recover on calibration processes, one file a task."""
