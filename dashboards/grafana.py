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
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data_source import check_data_source, ensure_data_source
from .grafana_client import Grafana, GrafanaError, one_line
from .import_settings import Settings, settings

FILES = sorted(Path(__file__).parent.glob("*.json"))
FOLDER = {"uid": "lambda-remote-write", "title": "lambda-remote-write"}
# The dashboards are made with the SDK's types of 10.4. An older Grafana ignores settings that it does not know, and so
# would show something else without a word.
OLDEST_VERSION = (10, 4)
MESSAGE = "lambda-remote-write sha256:"


# --- Folder and dashboards --------------------------------------------------------------------------------------------


def ensure_folder(grafana: Grafana) -> str:
    """What was done."""
    doing, role = f"create the folder {FOLDER['title']}", "Editor"
    path = f"/api/folders/{FOLDER['uid']}"
    if grafana.ask("GET", path, "read a folder", role, expected=(200, 404)).status == 200:
        return "unchanged"
    grafana.ask("POST", "/api/folders", doing, role, FOLDER)
    return "created"


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
    place = {key: there.map("dashboard").get(key) for key in ("id", "version")}
    _save(grafana, dashboard | place, message, there.map("meta").get("folderUid", ""), force)
    return Imported("updated")


def _newest_versions(grafana: Grafana, uid: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest version of a dashboard, and the newest that an import has saved; empty where there is none."""
    path = f"/api/dashboards/uid/{uid}/versions?limit=100"
    answer = grafana.ask("GET", path, "read the history of a dashboard", "Editor")
    versions = answer.maps() if isinstance(answer.body, list) else answer.maps("versions")  # a list until Grafana 11.5
    versions = sorted(versions, key=_number, reverse=True)
    ours = (one for one in versions if str(one.get("message", "")).startswith(MESSAGE))
    return next(iter(versions), {}), next(ours, {})


def _number(version: Mapping[str, Any]) -> int:
    found = version.get("version")
    return found if isinstance(found, int) else 0


def _kept(newest: Mapping[str, Any], is_new: bool) -> Imported:
    by = one_line(newest.get("createdBy") or "a user")
    saved = f"kept as {by} saved it (version {_number(newest)})"
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


def run(env_vars: Mapping[str, str], files: Sequence[Path] = FILES) -> bool:
    """Imports everything, a line for each thing. Returns whether all is as the files say. Raises GrafanaError."""
    wanted = settings(env_vars)
    grafana = Grafana(wanted.url, wanted.token)
    version = grafana.version()
    if version < OLDEST_VERSION:
        needed = f"the dashboards need {_dotted(OLDEST_VERSION)} or newer"
        where = "in Amazon Managed Grafana, on the workspace's page"
        raise GrafanaError(f"Grafana {_dotted(version)} is too old: {needed}. Update it ({where}).")
    print(f"folder {FOLDER['title']}: {ensure_folder(grafana)}")
    uid = _import_data_source(grafana, version, wanted)
    imported = [_import_file(grafana, path, wanted.force) for path in files]
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
    except KeyboardInterrupt:
        print("make grafana: interrupted; what was printed is done. Run it again for the rest.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
