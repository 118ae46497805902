"""The AlertmanagerConfig that takes alerts which ask for a retraining to the collector."""

from fairlead.render.manifests.objects import COLLECTOR, COLLECTOR_PORT, Object, thing

WHY = """\
Prometheus's operator adds it to the routes of its Alertmanager, for alerts with the label `namespace` of this one; all
other alerts go where docs/how-to/alerts-and-dashboards.md says."""
ASKS = "drift|decay|schedule"
RECEIVER = "retraining"


def alertmanager_config(namespace: str) -> Object:
    """Firing alerts ask, resolved ones take it back."""
    webhook = {"url": f"http://{COLLECTOR}.{namespace}.svc:{COLLECTOR_PORT}/alertmanager", "sendResolved": True}
    route = {
        "receiver": RECEIVER,
        "matchers": [{"name": "retraining", "matchType": "=~", "value": ASKS}],
        "groupBy": ["model"],
        "groupWait": "30s",
        "groupInterval": "5m",
        "repeatInterval": "12h",
    }
    spec = {"route": route, "receivers": [{"name": RECEIVER, "webhookConfigs": [webhook]}]}
    return thing(
        "monitoring.coreos.com/v1alpha1", "AlertmanagerConfig", "fairlead-retraining", namespace=namespace, spec=spec
    )
