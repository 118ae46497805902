"""alibi-detect as a second engine for drift, in an environment of its own: `worker.py` runs there, and nothing else."""
