"""Drift: does a window of predictions come from where the reference comes from?

One test a file, each with its source. `detect` brings them together: comparable rows, a correction over features, and
an effect size beside each p-value. Only `alarm` wakes somebody.
"""
