"""What watches models that serve: the receiver of records."""
