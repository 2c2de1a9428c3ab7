"""Accuracy of SpikeQuant beside other ways of quantising activations (docs/Accuracy.md)."""
