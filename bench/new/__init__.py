"""`bench new`: an installable package with a plug-in that works, its tests, card and README."""
