"""From sources to versioned, checked tables."""
