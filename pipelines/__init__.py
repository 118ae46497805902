"""Graphs of steps, and the model files."""
