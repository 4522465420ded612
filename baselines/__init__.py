"""Reference models of latents. Ordinary plug-ins: each family is one file."""
