"""Splits in time, candidates, tuning, fitting."""
