"""The data source of a workspace of Amazon Managed Service for Prometheus (AMP): created, compared, and asked to query.

Its settings are those of Grafana's documentation, "Configure the Amazon Managed Service for Prometheus data source".
The keys of the role are the ones that Grafana reads, `sigV4AssumeRoleArn` and `sigV4ExternalId`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from .grafana_client import Grafana, GrafanaError, one_line, without_secrets
from .import_settings import Workspace

CORE, AMAZON = "prometheus", "grafana-amazonprometheus-datasource"
# From here on the plugin is one of those that a variable of the type `prometheus` offers.
PLUGIN_FROM = (11, 6)
# From here on Grafana moves core data sources with SigV4 to the plugin when it starts.
PLUGIN_ONLY_FROM = (13, 0)
MANAGED_HOST = re.compile(r"\.grafana-workspace\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$")


def ensure_data_source(
    grafana: Grafana, version: tuple[int, int], workspace: Workspace, force: bool
) -> tuple[str, str]:
    """Its uid, and what was done. Raises GrafanaError when another one has the name."""
    path = f"/api/datasources/name/{quote(workspace.name, safe='')}"
    found = grafana.ask("GET", path, "read data sources", "Admin", expected=(200, 404))
    if found.status == 404:
        wanted = data_source(workspace, _type(grafana, version), grafana.url)
        made = grafana.ask("POST", "/api/datasources", "create a data source", "Admin", wanted)
        return made.text("datasource", "uid"), "created"
    uid, there = found.text("uid"), found.map()
    difference = _difference(there, workspace)
    if not difference:
        return uid, "unchanged"
    can_change = there.get("type") in (CORE, AMAZON)
    if not (force and can_change):
        way = "Give a name that is free, DATASOURCE=…" + (", or replace it with FORCE=1." if can_change else ".")
        raise GrafanaError(f"the data source {workspace.name!r} is another one: {difference}. {way}")
    _change(grafana, there, workspace)
    return uid, "updated"


def _change(grafana: Grafana, there: Mapping[str, Any], workspace: Workspace) -> None:
    """Makes a data source the workspace's; its other settings and its secrets stay."""
    wanted = data_source(workspace, there["type"], grafana.url)
    merged = {**there, **wanted, "jsonData": {**_json_data(there), **wanted["jsonData"]}}
    grafana.ask("PUT", f"/api/datasources/uid/{quote(there['uid'], safe='')}", "change a data source", "Admin", merged)


def _type(grafana: Grafana, version: tuple[int, int]) -> str:
    """The Amazon plugin where it is installed and offered, else the core data source as long as it signs."""
    path = f"/api/plugins/{AMAZON}/settings"
    installed = grafana.ask("GET", path, "read which plugins it has", "Admin", expected=(200, 404)).status == 200
    if installed and version >= PLUGIN_FROM:
        return AMAZON
    if version >= PLUGIN_ONLY_FROM:
        raise GrafanaError(
            f"the plugin {AMAZON} is missing, and from Grafana {PLUGIN_ONLY_FROM[0]} on data sources with SigV4 become "
            "its own: install it (Administration > Plugins > Amazon Managed Service for Prometheus)."
        )
    return CORE


def data_source(workspace: Workspace, kind: str, grafana_url: str) -> dict[str, Any]:
    """Amazon Managed Grafana signs with the role of its workspace, which is called ec2_iam_role; others with what AWS's
    SDK finds. `timeInterval` is the shortest interval of a schedule."""
    is_managed = MANAGED_HOST.search(urlsplit(grafana_url).hostname or "")
    json_data = {
        "httpMethod": "POST",
        "timeInterval": "1m",
        "sigV4AuthType": "ec2_iam_role" if is_managed else "default",
        **_identity(workspace),
    }
    return {"name": workspace.name, "type": kind, "access": "proxy", "url": workspace.url, "jsonData": json_data}


def _identity(workspace: Workspace) -> dict[str, Any]:
    """What says which workspace is read, and as whom. The rest may be changed by hand."""
    found: dict[str, Any] = {"sigV4Auth": True, "sigV4Region": workspace.region}
    found |= {"sigV4AssumeRoleArn": workspace.role_arn} if workspace.role_arn else {}
    return found | ({"sigV4ExternalId": workspace.external_id} if workspace.external_id else {})


def _difference(there: Mapping[str, Any], workspace: Workspace) -> str:
    """How a data source of the name differs from the workspace's, or empty."""
    if there.get("type") not in (CORE, AMAZON):
        return f"its type is {one_line(there.get('type'))}"
    url = str(there.get("url", ""))
    if url.rstrip("/") != workspace.url:
        return f"its URL is {without_secrets(url)}"
    json_data = _json_data(there)
    wrong = [key for key, value in _identity(workspace).items() if json_data.get(key) != value]
    if "sigV4ExternalId" in wrong[:1]:
        return "its sigV4ExternalId is not EXTERNAL_ID"
    return f"its {wrong[0]} is {one_line(json_data.get(wrong[0]))}" if wrong else ""


def _json_data(there: Mapping[str, Any]) -> Mapping[str, Any]:
    found = there.get("jsonData")
    return found if isinstance(found, dict) else {}


def check_data_source(grafana: Grafana, uid: str, name: str) -> None:
    """Lets Grafana query the workspace. Raises GrafanaError with what it says."""
    path, every = f"/api/datasources/uid/{quote(uid, safe='')}/health", range(400, 600)
    answer = grafana.ask("GET", path, "query a data source", "Admin", expected=(200, *set(every) - {401, 403}))
    if answer.status == 200 and answer.map().get("status", "OK") == "OK":
        return
    raise GrafanaError(
        f"the data source {name!r} is there, but Grafana cannot query the workspace: {answer.message}. Check that the "
        "workspace exists in REGION, and that Grafana's role may query it (docs/grafana.md)."
    )
