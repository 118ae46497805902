"""Features: written once, the same offline and online, and never known too early."""
