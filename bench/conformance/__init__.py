"""Rules that every plug-in must keep: submissions, codecs, datasets and tasks, each checked by name.

One file a kind holds its rules, each a function whose first line says what must hold.
"""
