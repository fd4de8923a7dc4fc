"""The chess network: its recipe, its training, and the model file."""
