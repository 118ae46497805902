"""The dashboards' panels without Grafana and Prometheus: their own queries, asked of what a laptop has recorded."""
