"""Nodes as `ray.nodes()` tells of them."""

from __future__ import annotations

from typing import Any


def node(number: int, **resources: float) -> dict[str, Any]:
    """One that is alive; a name that ends in `_` stands for one with a colon."""
    return {
        "NodeID": f"{number:056x}", "Alive": True, "NodeManagerHostname": f"host{number}",
        "NodeManagerAddress": f"10.0.0.{number}", "Resources": {**resources, f"node:10.0.0.{number}": 1.0},
    }
