"""What MLflow's client reads is what metrics.jsonl and the samples' files hold; skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracking_cases import curves, watched_twice

MlflowClient = pytest.importorskip("mlflow").MlflowClient
pytestmark = pytest.mark.usefixtures("ring")


def test_a_run_that_crashed_and_was_resumed_is_one_run_with_each_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    options = {"mlflow": {"uri": uri, "experiment": "rings"}}
    run = watched_twice(tmp_path / "run", track=["mlflow"], track_options=options)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("rings")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    assert found.data.params["backbone.hidden"] == "16"
    for name, points in curves(run).items():
        history = client.get_metric_history(found.info.run_id, name)
        assert sorted((metric.step, metric.value) for metric in history) == points or name in TIMES, name
        assert len({metric.step for metric in history}) == len(history) == len(points)
    names = [artifact.path for artifact in client.list_artifacts(found.info.run_id, "samples")]
    assert names == ["samples/step-00000006", "samples/step-00000012"]
    assert len(client.list_artifacts(found.info.run_id, names[1])) == 16


TIMES = ("seconds", "examples_per_second")
"""Numbers that differ between a step and the same step after a crash."""
