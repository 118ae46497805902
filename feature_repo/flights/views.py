"""The Feast objects of flights: entities, a view for each feature table, and the services that models name."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.data_format import DeltaFormat
from feast.types import Float64
from feast.value_type import ValueType

carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="Airline code")
origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="Airport of departure")
dest = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING, description="Airport of arrival")
tailnum = Entity(name="tailnum", join_keys=["tailnum"], value_type=ValueType.STRING, description="Aircraft")


def _view(name: str, entities: list[Entity], ttl: timedelta, features: list[str], description: str) -> FeatureView:
    """A view on the feature table of the same name."""
    source = FileSource(
        name=name, path=f"flights/features/{name}", file_format=DeltaFormat(), timestamp_field="known_at"
    )
    schema = [Field(name=feature, dtype=Float64) for feature in features]
    return FeatureView(
        name=name, entities=entities, ttl=ttl, schema=schema, source=source, online=True, description=description
    )


def _recent(*hours: int) -> list[str]:
    return [f"{what}_{span}h" for span in hours for what in ("landed", "late_share", "delay_minutes")]


network_delays = _view("network_delays", [], timedelta(hours=6), _recent(1, 3, 24), "Recent delays of all flights")
origin_delays = _view(
    "origin_delays", [origin], timedelta(hours=12), _recent(3, 24), "Recent delays by airport of departure"
)
carrier_delays = _view("carrier_delays", [carrier], timedelta(days=2), _recent(6, 24, 168), "Recent delays by airline")
destination_delays = _view(
    "destination_delays", [dest], timedelta(days=3), _recent(6, 168), "Recent delays by airport of arrival"
)
route_delays = _view("route_delays", [origin, dest], timedelta(days=14), _recent(168, 672), "Recent delays by route")
aircraft_delays = _view(
    "aircraft_delays", [tailnum], timedelta(days=7), _recent(12, 168), "Recent delays of the same aircraft"
)
aircraft = _view("aircraft", [tailnum], timedelta(days=36500), ["built", "seats"], "Year of construction and seats")
weather_at_origin = _view(
    "weather_at_origin",
    [origin],
    timedelta(hours=6),
    [
        "temperature_f",
        "humidity_percent",
        "wind_mph",
        "gust_mph",
        "rain_inches",
        "pressure_millibar",
        "visibility_miles",
    ],
    "The last complete hour of observations",
)

flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[
        network_delays,
        origin_delays,
        carrier_delays,
        destination_delays,
        route_delays,
        aircraft_delays,
        aircraft,
        weather_at_origin,
    ],
    description="All that flight-delay looks up",
)
