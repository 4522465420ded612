"""Quantisation pressure and predictability: one small codec, trained with one bottleneck after another."""
