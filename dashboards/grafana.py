"""`make grafana`: imports the dashboards, and a data source for a workspace of Amazon Managed Service for Prometheus
(AMP), into a Grafana. A second run changes nothing.

A dashboard that was saved in Grafana since the last import is kept. What tells it is the history of its versions: each
import writes the hash of its file into the version's message. The content would not tell, because newer versions of
Grafana rewrite what they are given.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .grafana_client import Grafana, GrafanaError

FILES = sorted(Path(__file__).parent.glob("*.json"))
FOLDER = {"uid": "lambda-remote-write", "title": "lambda-remote-write"}
# The dashboards are made with the types of 10.4, the oldest version that Grafana's own SDK still follows and Amazon
# Managed Grafana still creates.
OLDEST_VERSION = (10, 4)
CORE, AMAZON = "prometheus", "grafana-amazonprometheus-datasource"
# From here on the plugin is one of those that a variable of the type `prometheus` offers.
PLUGIN_FROM = (11, 6)
# Here SigV4 has left the core data source.
PLUGIN_ONLY_FROM = (13, 0)
MESSAGE = "lambda-remote-write sha256:"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
WORKSPACE_ID = re.compile(r"ws-[0-9a-zA-Z-]+")
REGION_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
AMP_HOST = re.compile(r"aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.")
MANAGED_HOST = re.compile(r"\.grafana-workspace\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$")


# --- What is asked for ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace of AMP as a data source reads it; `role_arn` is the role to assume first, or empty."""

    name: str
    url: str
    region: str
    role_arn: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Settings:
    url: str
    token: str
    workspace: Workspace | None
    force: bool


def settings(env_vars: Mapping[str, str]) -> Settings:
    """What the variables of `make grafana` say. Raises GrafanaError."""
    url, token = _grafana_url(env_vars.get("URL", "").strip()), env_vars.get("GRAFANA_TOKEN", "").strip()
    if not token:
        raise GrafanaError(
            "GRAFANA_TOKEN is not set: make a token of a service account with the role Admin in Grafana, and export it "
            "(read -rs GRAFANA_TOKEN; export GRAFANA_TOKEN)."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise GrafanaError("GRAFANA_TOKEN is no token: it has characters that no token of Grafana has.")
    return Settings(url, token, _workspace(env_vars), env_vars.get("FORCE", "") == "1")


def _grafana_url(text: str) -> str:
    """Without query and fragment."""
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        shown = f", not {text!r}" if text else ""
        raise GrafanaError(f"URL is the address of Grafana and begins with https://{shown}: make grafana URL=https://…")
    if parts.username or parts.password:
        raise GrafanaError("URL has a user or password: the token is enough, leave them out.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise GrafanaError(
            f"URL is not encrypted, so others could read the token on its way to {parts.hostname}: give an https:// "
            "address, or a tunnel's end on this machine."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _workspace(env_vars: Mapping[str, str]) -> Workspace | None:
    workspace_id, url = env_vars.get("WORKSPACE", "").strip(), env_vars.get("WORKSPACE_URL", "").strip()
    if not workspace_id and not url:
        return None
    region = env_vars.get("REGION", "").strip() or env_vars.get("AWS_REGION", "").strip()
    if url:
        region = _url_region(url) or region
    _check(region, REGION_NAME, "REGION", "eu-west-1")
    if not url:
        _check(workspace_id, WORKSPACE_ID, "WORKSPACE", "ws-12345678-1234-1234-1234-123456789012")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        url = f"https://aps-workspaces.{region}.{suffix}/workspaces/{workspace_id}"
    role_arn = env_vars.get("ROLE_ARN", "").strip()
    if role_arn:
        _check(role_arn, ROLE, "ROLE_ARN", "arn:aws:iam::123456789012:role/NAME")
    url = url.rstrip("/").removesuffix("/api/v1/remote_write")
    name = env_vars.get("DATASOURCE", "").strip() or f"AMP {url.rpartition('/')[2]}"
    return Workspace(name, url, region, role_arn, env_vars.get("EXTERNAL_ID", "").strip())


def _url_region(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise GrafanaError(f"WORKSPACE_URL is no https:// address: {url!r}. The stack has it as an output.")
    found = AMP_HOST.match(parts.hostname)
    return found[1] if found else ""


def _check(value: str, pattern: re.Pattern[str], name: str, example: str) -> None:
    if not pattern.fullmatch(value):
        shown = f"not {value!r}" if value else "and is missing"
        raise GrafanaError(f"{name} is as {example}, {shown}: make grafana … {name}={example}")


# --- Folder and data source -------------------------------------------------------------------------------------------


def ensure_folder(grafana: Grafana) -> str:
    """What was done."""
    doing, role = "create a folder", "Editor"
    path = f"/api/folders/{FOLDER['uid']}"
    if grafana.ask("GET", path, "read a folder", role, expected=(200, 404)).status == 200:
        return "unchanged"
    grafana.ask("POST", "/api/folders", doing, role, FOLDER)
    return "created"


def ensure_data_source(
    grafana: Grafana, version: tuple[int, int], workspace: Workspace, force: bool
) -> tuple[str, str]:
    """Its uid, and what was done. Raises GrafanaError when another one has the name."""
    path = f"/api/datasources/name/{quote(workspace.name, safe='')}"
    found = grafana.ask("GET", path, "read data sources", "Admin", expected=(200, 404))
    if found.status == 404:
        wanted = _data_source(workspace, _type(grafana, version), grafana.url)
        made = grafana.ask("POST", "/api/datasources", "create a data source", "Admin", wanted).body
        return str(made["datasource"]["uid"]), "created"
    uid, there = str(found.body["uid"]), found.body
    difference = _difference(there, workspace)
    if not difference:
        return uid, "unchanged"
    if not force or there["type"] not in (CORE, AMAZON):
        other = "" if there["type"] not in (CORE, AMAZON) else ", or replace it with FORCE=1"
        raise GrafanaError(
            f"the data source {workspace.name!r} is another one: {difference}. Give a name that is free, DATASOURCE=…"
            f"{other}."
        )
    wanted = _data_source(workspace, there["type"], grafana.url)
    merged = {**there, **wanted, "jsonData": {**(there.get("jsonData") or {}), **wanted["jsonData"]}}
    grafana.ask("PUT", f"/api/datasources/uid/{uid}", "change a data source", "Admin", merged)
    return uid, "updated"


def _type(grafana: Grafana, version: tuple[int, int]) -> str:
    """The Amazon plugin where it is installed and offered, else the core data source as long as it signs."""
    path = f"/api/plugins/{AMAZON}/settings"
    installed = grafana.ask("GET", path, "read which plugins it has", "Admin", expected=(200, 404)).status == 200
    if installed and version >= PLUGIN_FROM:
        return AMAZON
    if version >= PLUGIN_ONLY_FROM:
        raise GrafanaError(
            f"the plugin {AMAZON} is missing, and from Grafana {PLUGIN_ONLY_FROM[0]} on only it signs requests to AMP: "
            "install it (Administration > Plugins > Amazon Managed Service for Prometheus)."
        )
    return CORE


def _data_source(workspace: Workspace, kind: str, grafana_url: str) -> dict[str, Any]:
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
    if there["type"] not in (CORE, AMAZON):
        return f"its type is {there['type']}"
    if str(there.get("url", "")).rstrip("/") != workspace.url:
        return f"its URL is {there.get('url')}"
    json_data = there.get("jsonData") or {}
    wrong = [key for key, value in _identity(workspace).items() if json_data.get(key) != value]
    return f"its {wrong[0]} is {json_data.get(wrong[0])}" if wrong else ""


def check_data_source(grafana: Grafana, uid: str, name: str) -> None:
    """Lets Grafana query the workspace. Raises GrafanaError with what it says."""
    path, every = f"/api/datasources/uid/{uid}/health", range(400, 600)
    answer = grafana.ask("GET", path, "query a data source", "Admin", expected=(200, *set(every) - {401, 403}))
    if answer.status == 200 and answer.body.get("status", "OK") == "OK":
        return
    raise GrafanaError(
        f"the data source {name!r} is there, but Grafana cannot query the workspace: {answer.message}. Check that the "
        "workspace exists in REGION, and that Grafana's role may query it (docs/grafana.md)."
    )


# --- Dashboards -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a dashboard; `is_refused` when a newer file could not replace what is there."""

    done: str
    is_refused: bool = False


def import_dashboard(grafana: Grafana, text: str, force: bool) -> Imported:
    """Creates a dashboard from its file, or brings it up to date."""
    dashboard, message = json.loads(text), MESSAGE + hashlib.sha256(text.encode()).hexdigest()
    uid = dashboard["uid"]
    doing, role = f"read the dashboard {dashboard['title']}", "Editor"
    there = grafana.ask("GET", f"/api/dashboards/uid/{uid}", doing, role, expected=(200, 404))
    if there.status == 404:
        _save(grafana, dashboard, message, FOLDER["uid"], force)
        return Imported("created")
    newest, imported = _newest_versions(grafana, uid)
    if newest.get("message") == message:
        return Imported("unchanged")
    if newest is not imported and not force:
        return _kept(newest, is_new=imported.get("message") != message)
    place = {key: there.body["dashboard"].get(key) for key in ("id", "version")}
    _save(grafana, dashboard | place, message, there.body["meta"].get("folderUid", ""), force)
    return Imported("updated")


def _newest_versions(grafana: Grafana, uid: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest version of a dashboard, and the newest that an import has saved; empty where there is none."""
    path = f"/api/dashboards/uid/{uid}/versions?limit=100"
    body = grafana.ask("GET", path, "read the history of a dashboard", "Editor").body
    versions = body["versions"] if isinstance(body, dict) else body  # a list until Grafana 11.5
    versions = sorted(versions, key=lambda one: -one["version"])
    ours = (one for one in versions if str(one.get("message", "")).startswith(MESSAGE))
    return next(iter(versions), {}), next(ours, {})


def _kept(newest: Mapping[str, Any], is_new: bool) -> Imported:
    by = newest.get("createdBy") or "somebody"
    saved = f"kept as {by} saved it (version {newest.get('version')})"
    if not is_new:
        return Imported(f"{saved}; there is nothing newer to import")
    return Imported(f"{saved}. To replace it, repeat with FORCE=1; its history keeps the saved version", True)


def _save(grafana: Grafana, dashboard: Mapping[str, Any], message: str, folder_uid: str, force: bool) -> None:
    body = {"dashboard": dashboard, "folderUid": folder_uid, "message": message, "overwrite": force}
    doing = f"save the dashboard {dashboard['title']}"
    answer = grafana.ask("POST", "/api/dashboards/db", doing, "Editor", body, expected=(200, 412))
    if answer.status == 412:
        raise GrafanaError(f"Grafana did not {doing}: {answer.message}. Look at it there, then run this again.")


# --- The command ------------------------------------------------------------------------------------------------------


def run(env_vars: Mapping[str, str]) -> bool:
    """Imports everything, a line for each thing. Returns whether all is as the files say. Raises GrafanaError."""
    wanted = settings(env_vars)
    grafana = Grafana(wanted.url, wanted.token)
    version = grafana.version()
    if version < OLDEST_VERSION:
        raise GrafanaError(
            f"Grafana {_dotted(version)} is too old: the dashboards need {_dotted(OLDEST_VERSION)} or newer. Update it; "
            "in Amazon Managed Grafana, the workspace's page does."
        )
    print(f"folder {FOLDER['title']}: {ensure_folder(grafana)}")
    uid = _import_data_source(grafana, version, wanted)
    imported = [_import_file(grafana, path, wanted.force) for path in FILES]
    if uid and wanted.workspace:
        check_data_source(grafana, uid, wanted.workspace.name)
    return not any(one.is_refused for one in imported)


def _import_data_source(grafana: Grafana, version: tuple[int, int], wanted: Settings) -> str:
    """Its uid, or empty when none is asked for."""
    if wanted.workspace is None:
        print("data source: none, because neither WORKSPACE=ws-… with REGION=… nor WORKSPACE_URL=… is given")
        return ""
    uid, done = ensure_data_source(grafana, version, wanted.workspace, wanted.force)
    print(f"data source {wanted.workspace.name}: {done}")
    return uid


def _import_file(grafana: Grafana, path: Path, force: bool) -> Imported:
    text = path.read_text()
    imported, dashboard = import_dashboard(grafana, text, force), json.loads(text)
    print(f"dashboard {dashboard['title']}: {imported.done} - {grafana.url}/d/{dashboard['uid']}")
    return imported


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def main() -> int:
    """The exit status: 1 when something was refused."""
    try:
        return 0 if run(os.environ) else 1
    except GrafanaError as error:
        print(f"make grafana: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
