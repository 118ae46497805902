"""A reverse proxy for one machine that routes as an HTTPRoute does on a cluster."""
