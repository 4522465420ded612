"""LatentBench: is a latent space good for autoregressive audio modelling?"""

__version__ = "0.1.0"
