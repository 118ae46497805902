"""Runs of pipelines on a cluster: started, watched, and repeated by the clock."""
