"""`make dashboards`: writes the JSON of each dashboard beside its module."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from . import custom_metrics, pusher

FOLDER = Path(__file__).parent
MODULES = {"custom_metrics": custom_metrics.dashboard, "pusher": pusher.dashboard}


def encode(dashboard: Dashboard) -> str:
    """The JSON as it is committed: keys in order, so that a change of the SDK shows as what it changes."""
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def main(folder: Path = FOLDER) -> None:
    for name, dashboard in MODULES.items():
        (folder / f"{name}.json").write_text(encode(dashboard()))


if __name__ == "__main__":
    main()
