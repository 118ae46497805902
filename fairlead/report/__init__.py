"""What a run found and decided: a summary for machines and a page for people."""
