"""The best network of a problem as an MLflow model with a signature: loads without our code, serves with MLflow's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tracking.mlflow_models import model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "model"  # the folder among a run's artefacts
BATCH = 2        # images of the example: torch.export takes a batch of one for a constant


def saved(program: bytes, folder: Path) -> None:
    """Write the model: a program of `torch.export`, and the signature that its own example tells.

    Args:
        program: (B, *shape) -> (B, outputs), of `torch.export.save`.
        folder: does not exist yet.
    """
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    exported = torch.export.load(io.BytesIO(program))
    network: Any = exported.module()
    shape = exported.example_inputs[0][0].shape[1:]
    example = np.zeros((BATCH, *shape), np.float32)
    with torch.no_grad():
        outputs = network(torch.from_numpy(example)).shape[1:]
    kind = np.dtype("float32")
    mlflow.pytorch.save_model(
        network, str(folder), input_example=example, serialization_format="pt2",
        signature=ModelSignature(Schema([TensorSpec(kind, (-1, *shape))]), Schema([TensorSpec(kind, (-1, *outputs))])),
        pip_requirements=["torch", "numpy"],
    )


def keep(api: MlflowClient, event: Mapping[str, Any], run_id: str, sweep: str) -> None:
    """Keep the network with a run, and make it a version of a registered model unless the same one is there.

    Args:
        event: `problem`, `method`, `select_score` and `program`.

    Raises:
        Exception: whatever MLflow raises.
    """
    name = model_name({"maker": event["problem"], "source": {"label": "best"}})
    identity = sha256(event["program"]).hexdigest()
    if not api.search_registered_models(f"name = '{name}'"):
        try:
            api.create_registered_model(name, tags={"problem": str(event["problem"])})
        except Exception:
            if not api.search_registered_models(f"name = '{name}'"):  # else another sweep was faster
                raise
    versions = api.search_model_versions(f"name = '{name}'")
    if any(version.tags.get("sha256") == identity and version.run_id == run_id for version in versions):
        return
    with TemporaryDirectory(prefix="invsearch-") as folder:
        saved(event["program"], Path(folder) / MODEL)
        api.log_artifacts(run_id, str(Path(folder) / MODEL), MODEL)
    told = {"method": str(event["method"]), "select_score": f"{event['select_score']:.4f}", "sweep": sweep}
    source = f"{api.get_run(run_id).info.artifact_uri}/{MODEL}"
    api.create_model_version(name, source, run_id, tags={**told, "sha256": identity})
