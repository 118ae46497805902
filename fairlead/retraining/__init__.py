"""Retraining: who asks for it, what the brakes answer, and the log of both."""
