"""What is made from specs and code, and committed."""
