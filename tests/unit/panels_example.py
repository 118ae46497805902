"""A recording in which every metric of the catalogue is: a minute of a model in trouble, scraped once a second."""

import time
from pathlib import Path

from prometheus_client import generate_latest

from fairlead import metrics as m
from fairlead.panels.recording import Recording
from fairlead.spec.load import load_specs
from fairlead.spec.model import ModelSpec
from tests.planted_metrics import MODEL, Planted, healthy

REPO = Path(__file__).parents[2]
SECONDS = 20
EVERY = 2.0
"""Seconds between two points that are drawn."""


def model() -> ModelSpec:
    return load_specs(REPO, MODEL)[0]


def planted() -> Planted:
    found = Planted()
    healthy(found)
    found.gauge(m.DRIFT_FEATURE, 1, kind="input")
    return found


def recording() -> Recording:
    emitter, found, begin = planted(), Recording("canary", 1.0, EVERY), time.time()
    for second in range(SECONDS):
        emitter.tick(1.0)
        found.add_text(begin + second, generate_latest(emitter.registry).decode(), instance="here")
    return found
