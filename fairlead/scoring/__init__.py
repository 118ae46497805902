"""Many rows at once: the endpoint's scores of a table, as a table."""
