"""The whole loop on a laptop, on the example's data."""
