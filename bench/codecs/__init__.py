"""The built-in codecs, one a file."""
