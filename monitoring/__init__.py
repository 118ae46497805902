"""What watches models that serve: the collector of records and of what jobs find."""
