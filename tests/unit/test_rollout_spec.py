"""The `rollout` section of a model file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fairlead.spec import load_model
from fairlead.spec.model import RolloutSpec

REPO = Path(__file__).parents[2]


def test_the_model_that_ships_is_released_by_canary_and_asks_in_production():
    rollout = load_model(REPO / "pipelines/models/flight-delay.yaml").rollout
    assert rollout.weights == (5, 25, 50)
    assert rollout.approve == {"production": "pull-request"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": [5, 5]}, "steps must rise"),
        ({"steps": [50, 25]}, "steps must rise"),
        ({"steps": [100]}, "less than or equal to 99"),
        ({"steps": []}, "at least 1 item"),
        ({"errors": {"margin": 1.0}}, "greater than 1"),
        ({"strategy": "ab"}, "there is no `quality`"),
        ({"strategy": "blue-green", "shadow_minutes": 0}, "must be above 0 for the strategy blue-green"),
        ({"answers": {}, "shadow_minutes": 0}, "answers are compared in the shadow"),
        ({"deadline_minutes": 10}, "deadline_minutes must be more than"),
        ({"approve": {"production": "email"}}, "pull-request"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        RolloutSpec.model_validate(fields)


def test_each_strategy_has_its_weights():
    by_strategy = {
        "canary": (5, 25, 50),
        "shadow": (),
        "blue-green": (100,),
        "ab": (5, 25, 50),
    }
    for strategy, weights in by_strategy.items():
        assert RolloutSpec.model_validate({"strategy": strategy, "quality": {}}).weights == weights
