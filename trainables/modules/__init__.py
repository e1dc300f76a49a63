"""What methods share: networks, the training recipe and its loop, augmentation layers, hypergradients."""
