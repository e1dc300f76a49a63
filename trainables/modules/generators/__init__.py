"""Generators that learn the nuisance distribution of a pool of images without labels."""
