"""A trained model as a folder that loads elsewhere: weights, what names any classes with them, where they come from, and a model card."""
