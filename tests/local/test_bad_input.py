"""Runs that cannot begin: one clear error, exit code 1, no traceback."""

from pathlib import Path

import pytest

AS_OF = ("--as-of", "2013-02-10")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("flights", "dep_delay", "departure_delay", "must have the column 'dep_delay'"),
        ("weather", "39.02", "cold", "column 'temp'"),
        ("airlines", "carrier,name\n", "", "must have the column 'carrier'"),
    ],
)
def test_a_source_of_another_shape_stops_the_run(checkout, table, old, new, message):
    source = checkout.source(table)
    good = source.read_text(encoding="utf-8")
    source.write_text(good.replace(old, new, 1), encoding="utf-8")
    done = checkout.run("run", "flight-delay", *AS_OF)
    source.write_text(good, encoding="utf-8")
    assert done.returncode == 1
    assert message in done.stderr
    assert source.name in done.stderr


def test_a_missing_source_stops_the_run_before_it_begins(checkout):
    source = checkout.source("airports")
    away = source.rename(source.with_suffix(".away"))
    done = checkout.run("run", "flight-delay", *AS_OF)
    away.rename(source)
    assert done.returncode == 1
    assert f"cannot read {source}: No such file or directory" in done.stderr


def test_a_misspelt_key_is_an_error_with_its_line(checkout):
    path = "pipelines/models/flight-delay.yaml"
    checkout.edit(path, ("sampler:", "sampel:"))
    done = checkout.run("run", "flight-delay", *AS_OF)
    checkout.edit(path, ("sampel:", "sampler:"))
    assert done.returncode == 1
    assert "tuning.sampel: unknown key; did you mean 'sampler'?" in done.stderr


def test_a_home_that_cannot_be_written_is_an_error(checkout):
    done = type(checkout)(checkout.repo, Path("/proc/fairlead")).run("demo")
    assert done.returncode == 1
    assert "the home folder /proc/fairlead must be writable" in done.stderr
