"""`fairlead demo` on a laptop, from the outside: a process, its exit code, what it prints and what it leaves."""

import json
import re
import shlex
import subprocess

import pytest

AS_OF = ("--as-of", "2013-02-10")
DEMO = ("demo", *AS_OF, "--days", "1")


@pytest.fixture(scope="module")
def first(checkout):
    done = checkout.run(*DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def summary(checkout, first):
    return json.loads((checkout.home / "report" / "summary.json").read_text(encoding="utf-8"))


def test_every_step_is_one_line_with_its_time(first):
    lines = [line for line in first.stdout.splitlines() if line[:1] in "✓="]
    assert [line[2:26].strip() for line in lines if line] == [
        "Ingest tables", "Validate tables", "Build features", "Build training set", "Train model", "Package model",
        "Evaluate model", "Register model", "Ingest tables", "Validate tables", "Build features",
        "Publish features online", "Start the endpoint", "Ask the endpoint", "Promote", "Release on live requests",
        "Live through a month",
        "Write the report",
    ]  # fmt: skip
    assert all(" s  " in line for line in lines if line)


def test_the_next_commands_work_as_they_are_printed(checkout, first):
    lines = [line.removeprefix("next").strip() for line in first.stdout.splitlines() if line.startswith("next")]
    commands = [re.split(r"\s{2,}", line)[0] for line in lines]
    assert [command.split()[1] for command in commands] == ["serve", "show", "reproduce", "run"]
    done = subprocess.run(
        shlex.split(commands[1]), env=checkout.variables(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "flight-delay@1" in done.stdout


def test_nothing_but_the_steps_and_the_figures_is_printed(first):
    assert "Warning" not in first.stdout + first.stderr
    assert "Traceback" not in first.stdout + first.stderr
    assert first.stderr == ""


def test_the_endpoint_answers_what_was_scored_offline(summary):
    replay = summary["replay"]
    assert replay["requests"] == replay["answered"] > 500
    assert replay["max_abs_difference"] <= 1e-6
    assert replay["roc_auc"] > 0.55


def test_the_days_after_are_lived_through_with_and_without_the_watch(summary):
    month = summary["month"]
    assert month["first"] == "2013-02-10"
    assert month["rows"] > 500
    watched, alone = (
        next(item for item in month["policies"] if item["name"] == name) for name in ("platform", "static")
    )
    assert watched["retrainings"] == [], "four days of data are too few to find anything in"
    assert watched["mean"] == alone["mean"] > 0.5


def test_the_model_beats_what_a_caller_knows_alone(summary):
    [auc] = [item["value"] for item in summary["evaluation"]["metrics"] if item["name"] == "roc_auc"]
    baselines = [item["value"] for item in summary["evaluation"]["baselines"] if item["metric"] == "roc_auc"]
    assert auc > max(baselines)


def test_the_accepted_model_is_promoted(summary):
    assert summary["registry"]["status"] == "accepted"
    assert summary["registry"]["aliases"] == ["challenger", "champion"]


def test_a_broken_version_is_rolled_back_and_a_sound_one_promoted_and_git_says_so(summary):
    canary = summary["canary"]
    assert [trial["outcome"] for trial in canary["trials"]] == ["rolled back", "promoted"]
    assert canary["trials"][0]["failed"] == 0, "it had copies only"
    subjects = [commit["subject"].partition(": ")[2] for commit in canary["commits"]]
    assert subjects[1:3] == [
        "try version 1-hasty with copies of 100% of the requests",
        "roll version 1-hasty back, 1 answers all requests",
    ]
    assert subjects[-1] == "settle, version 1-rebuilt answers all requests"


def test_the_dashboards_are_filled_by_the_canary_and_by_the_month_and_no_panel_is_silent(summary):
    panels = [panel for board in summary["boards"] for row in board["rows"] for panel in row["panels"]]
    assert {panel["source"] for panel in panels if panel["lines"]} == {"canary", "month"}
    assert all(panel["lines"] or panel["missing"] for panel in panels)
    filled = {panel["title"] for panel in panels if panel["lines"]}
    assert filled >= {"Seconds to an answer", "Requests by backend", "Logarithm of the e-values", "Log loss", "State"}


def test_the_report_links_to_data_docs_that_are_there(checkout, summary):
    link = summary["data"]["quality"]["data_docs"]
    assert (checkout.home / "report" / link).is_file()


def test_a_second_run_reuses_all_steps_and_ends_the_same(checkout, first, summary):
    models = checkout.models()
    again = checkout.run(*DEMO)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("unchanged, reused") == 15
    after = json.loads((checkout.home / "report" / "summary.json").read_text(encoding="utf-8"))
    assert {key: after[key] for key in ("data", "features", "evaluation", "bundle", "replay", "month", "registry")} == {
        key: summary[key] for key in ("data", "features", "evaluation", "bundle", "replay", "month", "registry")
    }
    assert checkout.models() == models


def test_show_prints_all_that_made_a_version(checkout, first):
    record = json.loads(checkout.run("show", "flight-delay", "--json").stdout)
    text = checkout.run("show", "flight-delay@champion").stdout
    for table in record["tables"]:
        assert table["sha256"] in text
    assert record["plan"]["code_version"] in text
    assert record["bundle"]["files"]["model.onnx"] in text


def test_an_unknown_version_is_refused_with_what_there_is(checkout, first):
    done = checkout.run("show", "flight-delay@7")
    assert done.returncode == 1
    assert done.stderr == "error: there is no version flight-delay@7; there are 1, challenger, champion\n"


def test_a_row_that_breaks_a_critical_rule_stops_the_run_and_the_next_good_run_works(checkout, first):
    source = checkout.source("planes")
    good = source.read_text(encoding="utf-8")
    clean = sorted((checkout.home / "tables" / "flights" / "clean" / "planes" / "_delta_log").iterdir())
    source.write_text(good.replace(",2,55,NA,Turbo-fan", ",2,9999,NA,Turbo-fan", 3), encoding="utf-8")
    bad = checkout.run("run", "flight-delay", *AS_OF)
    source.write_text(good, encoding="utf-8")
    assert bad.returncode == 1
    message = "planes: column 'seats' must be within [1, 600], but 3 of 3322 rows are not (max=9999), e.g. tailnum="
    assert message in bad.stderr
    assert "Traceback" not in bad.stderr
    assert sorted((checkout.home / "tables" / "flights" / "clean" / "planes" / "_delta_log").iterdir()) == clean
    assert checkout.run("run", "flight-delay", *AS_OF).returncode == 0


def test_the_champions_own_figures_ask_for_a_retraining_and_a_hold_refuses_it(checkout, first):
    spec = "pipelines/models/flight-delay.yaml"
    checkout.edit(spec, ("growth: 0.25", "growth: 0.01"))
    try:
        assert checkout.run("retraining", "hold", "flight-delay", "--why", "a test").returncode == 0
        done = checkout.run("retraining", "act", "flight-delay", "--as-of", "2013-02-13")
        assert done.returncode == 0, done.stderr
        assert "refused: held" in done.stdout
        log = json.loads(checkout.run("retraining", "log", "flight-delay", "--json").stdout)
        assert [(entry["trigger"], entry["by"]) for entry in log if entry["kind"] == "asked"] == [
            ("schedule", "LabelsGrown")
        ]
    finally:
        checkout.edit(spec, ("growth: 0.01", "growth: 0.25"))


def test_an_unknown_model_is_an_error_with_what_there_is(checkout, first):
    done = checkout.run("show", "no-such-model")
    assert done.returncode == 1
    assert "there is no model 'no-such-model'; there is flight-delay" in done.stderr


@pytest.mark.slow
def test_repeating_an_older_demo_leaves_a_newer_champion_and_the_endpoints_features(checkout, first):
    later = checkout.run("demo", "--as-of", "2013-02-11", "--days", "1")
    assert later.returncode == 0, later.stdout + later.stderr
    again = checkout.run(*DEMO)
    assert again.returncode == 0, again.stdout + again.stderr
    versions = {item["version"]: item for item in json.loads(checkout.run("models", "--json").stdout)}
    [champion] = [item for item in versions.values() if "champion" in item["aliases"]]
    assert champion["as_of"].startswith("2013-02-11")
    assert again.stdout.count(f"flight-delay@{champion['version']} stays the champion") == 2
    published = [line for line in again.stdout.splitlines() if "Publish features online" in line]
    assert "rows known by 2013-02-11T0" in published[0]
    # A name alone means the challenger; the older version is promoted by its number.
    older = min(versions)
    assert checkout.run("promote", f"flight-delay@{older}").returncode == 0
    assert f"flight-delay@{older} is" in checkout.run(*DEMO).stdout
