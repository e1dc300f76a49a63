"""Artefacts as versions of registered models. Speaks to a client that it is given, and imports no MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tracking.mlflow_rows import tags

_FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]+")


class Registry(Protocol):
    """What is used of `MlflowClient`."""

    def search_registered_models(self, filter_string: str) -> Sequence[Any]: ...
    def create_registered_model(self, name: str, tags: dict[str, str]) -> Any: ...
    def search_model_versions(self, filter_string: str) -> Sequence[Any]: ...
    def create_model_version(self, name: str, source: str, run_id: str, tags: dict[str, str]) -> Any: ...


def register(registry: Registry, event: Mapping[str, Any], run_id: str) -> None:
    """A version for the artefact of an `artefact` event, unless there is one for the same key and content.

    Args:
        run_id: of the run that made it, or that stands for it.

    Raises:
        Exception: whatever the registry raises.
    """
    name = model_name(event["spec"])
    if not registry.search_registered_models(f"name = '{name}'"):
        try:
            registry.create_registered_model(name, tags={"maker": event["spec"]["maker"]})
        except Exception:
            if not registry.search_registered_models(f"name = '{name}'"):  # else another sweep was faster
                raise
    identity = {"key": event["key"], "sha256": event["sha256"]}
    versions = registry.search_model_versions(f"name = '{name}'")
    if any(identity.items() <= dict(version.tags).items() for version in versions):
        return
    registry.create_model_version(
        name, event["uri"], run_id, tags=identity | tags({"size_bytes": event["size"], "label": event["label"]})
    )


def model_name(spec: Mapping[str, Any]) -> str:
    """"invsearch.MAKER.SOURCE", of letters, digits and `._-`: a registry takes no `/` and no `:`."""
    parts = ("invsearch", spec["maker"], spec["source"]["label"])
    return ".".join(_FORBIDDEN.sub("-", str(part)) for part in parts)
