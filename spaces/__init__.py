"""What may vary: search domains, transformations of the input, augmentation policies."""
