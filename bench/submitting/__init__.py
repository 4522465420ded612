"""`bench submit`: whether a row can be proposed, as a checklist, and what a pull request has to hold."""
