"""What is missing or wrong on a cluster, and how to mend it; one concern a file."""
