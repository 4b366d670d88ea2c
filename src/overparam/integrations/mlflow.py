"""A monitor's numbers in a run of MLflow."""

import time
from typing import Any

from overparam._extras import absent
from overparam.dynamics.sinks import finite

try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
except ImportError as problem:
    raise absent("overparam.integrations.mlflow", "mlflow-skinny or mlflow", "mlflow") from problem


class MLflowSink:
    """Numbers as metrics ``dyn/…`` of a run, in one request per step that was measured.

    Args:
        run_id: The run, such as `mlflow.start_run().info.run_id`.
        client: Of the store that holds it; `None` means the one MLflow is set to.

    Example:
        ::

            monitor = Monitor(model, loss, optimizer, sink=MLflowSink(run.info.run_id))
    """

    def __init__(self, run_id: str, client: Any = None) -> None:
        self.run_id = run_id
        self.client = MlflowClient() if client is None else client

    def __call__(self, numbers: dict[str, float], step: int) -> None:
        """Log what is finite."""
        now = int(1000 * time.time())
        metrics = [Metric(f"dyn/{n}", v, now, step) for n, v in finite(numbers).items()]
        if metrics:
            self.client.log_batch(self.run_id, metrics=metrics)
