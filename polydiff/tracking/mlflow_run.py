"""MLflow: a run on a server or in a database. Steps that it has are not recorded again.

Its own environment variables hold where no option is set: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.tracking.tracker import Tracked

TAG = "polydiff.key"
"""Tag of a run that holds `Tracked.key`, by which a resumed run is found again."""
AT_ONCE = 100
"""Largest number of parameters of a request."""
LONGEST = 500
"""Largest number of characters of a parameter."""


class Tracking:
    """A run of MLflow.

    Arguments:
        run: The run.
        uri: Where runs are kept: a server's address, or sqlite:///file.db; None: as in MLflow's settings.
        experiment: Experiment, which is made if it does not exist; None: as in MLflow's settings, or polydiff.
    """

    def __init__(self, run: Tracked, uri: str | None = None, experiment: str | None = None) -> None:
        from mlflow import MlflowClient

        self.client, self.seen = MlflowClient(tracking_uri=uri), run.seen
        found = self.earlier(run, experiment) if run.step else None
        if found is not None:
            self.client.update_run(found, status="RUNNING")
        self.id = self.created(run, experiment) if found is None else found

    def experiment(self, name: str | None) -> str:
        """Return the number of the experiment, which is made if it does not exist."""
        wanted = name or os.environ.get("MLFLOW_EXPERIMENT_NAME", "polydiff")
        found = self.client.get_experiment_by_name(wanted)
        return str(found.experiment_id if found else self.client.create_experiment(wanted))

    def earlier(self, run: Tracked, experiment: str | None) -> str | None:
        """Return the number of the run of an earlier session; None if there is none."""
        found = self.client.search_runs([self.experiment(experiment)], f"tags.`{TAG}` = '{run.key}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def created(self, run: Tracked, experiment: str | None) -> str:
        """Create a run with the configuration as its parameters, and return its number."""
        from mlflow.entities import Param

        made = self.client.create_run(self.experiment(experiment), run_name=run.name, tags={TAG: run.key})
        number = str(made.info.run_id)
        params = [Param(key, str(value)[:LONGEST]) for key, value in run.config.items()]
        for i in range(0, len(params), AT_ONCE):
            self.client.log_batch(number, params=params[i : i + AT_ONCE])
        return number

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        if step > self.seen:
            now = int(1000 * time.time())
            metrics: list[Any] = [Metric(name, value, now, step) for name, value in values.items()]
            self.client.log_batch(self.id, metrics=metrics)

    def samples(self, step: int, name: str, files: Sequence[Path]) -> None:
        for path in files:
            self.client.log_artifact(self.id, str(path), f"{name}/step-{step:08d}")

    def close(self) -> None:
        self.client.set_terminated(self.id)
