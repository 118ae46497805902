"""What answers requests: a KServe model server over bundles. `python -m serving --help`."""
