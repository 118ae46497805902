"""Takes records of predictions over HTTP and keeps each once. `python -m monitoring.collector --help`."""
