"""Releases: what the windows say, which stage follows, and the file that holds it."""
