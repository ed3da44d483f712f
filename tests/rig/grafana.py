"""A Grafana that holds state, on a loopback socket: folders, data sources, dashboards with their versions, plugins.

Its answers are those of Grafana's documentation, "HTTP API": Folder, Data source, Dashboard, Dashboard versions and
Health; a missing plugin's is that of Grafana itself. From 11.5 on, versions come in an object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sandbox.server import Answer, LoopbackServer, Request, Served

ROLES = ("Viewer", "Editor", "Admin")
ADMINS_ONLY = ("/api/datasources", "/api/plugins")


@dataclass(slots=True)
class StoredDashboard:
    model: dict[str, Any]
    folder_uid: str
    versions: list[dict[str, Any]] = field(default_factory=list)
    is_provisioned: bool = False


class GrafanaServer(Served):
    """`tokens` maps each token to its role. `health` is what a data source finds when it is asked to query."""

    def __init__(
        self, version: str = "11.6.3", plugins: tuple[str, ...] = (), tokens: Mapping[str, str] | None = None
    ) -> None:
        self.version, self.plugins = version, plugins
        self.tokens = dict(tokens or {"token-of-an-admin": "Admin"})
        self.health: tuple[int, dict[str, str]] = (200, {"status": "OK", "message": "Successfully queried"})
        self.hides_version = False
        self.folders: dict[str, dict[str, Any]] = {}
        self.data_sources: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, StoredDashboard] = {}
        self.instead: Callable[[Request], Answer | None] = lambda request: None
        self.requests: list[Request] = []
        self._server = LoopbackServer(self._respond)
        self.url = self._server.base_url

    @property
    def changes(self) -> list[str]:
        """The requests so far that were to change something."""
        return [f"{one.method} {one.path}" for one in self.requests if one.method != "GET"]

    @property
    def _major(self) -> int:
        return int(self.version.partition(".")[0])

    def save_by_hand(self, uid: str, title: str, by: str = "ada") -> None:
        """As with the button "Save dashboard"; what is saved has the keys that Grafana's own page adds."""
        stored = self.dashboards[uid]
        self._store(stored, stored.model | {"title": title, "preload": False}, "", by)

    # --- Requests -----------------------------------------------------------------------------------------------------

    def _respond(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.instead(request) or self._answer(request)

    def _answer(self, request: Request) -> Answer:
        if request.path == "/api/health":
            version = {} if self.hides_version else {"version": self.version}
            return Answer.json({"commit": "087143285", "database": "ok", **version})
        role = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if role is None:
            return Answer.json({"message": "Invalid API key"}, 401)
        if not self._may(role, request):
            return Answer.json({"message": "You'll need additional permissions to perform this action"}, 403)
        for method, pattern, respond in self._routes():
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return respond(json.loads(request.body or b"null"), *map(unquote, found.groups()))
        return Answer.json({"message": "Not found"}, 404)

    def _may(self, role: str, request: Request) -> bool:
        needed = "Admin" if request.path.startswith(ADMINS_ONLY) else "Viewer" if request.method == "GET" else "Editor"
        return ROLES.index(role) >= ROLES.index(needed)

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        return [
            ("GET", r"/api/frontend/settings", lambda _: Answer.json({"buildInfo": {"version": self.version}})),
            ("GET", r"/api/plugins/([^/]+)/settings", self._plugin),
            ("GET", r"/api/folders/([^/]+)", self._folder),
            ("POST", r"/api/folders", self._make_folder),
            ("GET", r"/api/datasources/name/([^/]+)", self._data_source),
            ("POST", r"/api/datasources", self._make_data_source),
            ("PUT", r"/api/datasources/uid/([^/]+)", self._change_data_source),
            ("GET", r"/api/datasources/uid/([^/]+)/health", lambda *_: Answer.json(self.health[1], self.health[0])),
            ("GET", r"/api/dashboards/uid/([^/]+)", self._dashboard),
            ("GET", r"/api/dashboards/uid/([^/]+)/versions", self._versions),
            ("POST", r"/api/dashboards/db", self._save),
        ]

    def _plugin(self, _: None, name: str) -> Answer:
        if name in self.plugins:
            return Answer.json({"id": name, "type": "datasource", "enabled": True})
        return Answer.json({"message": "Plugin not found, no installed plugin with that id"}, 404)

    # --- Folders ------------------------------------------------------------------------------------------------------

    def _folder(self, _: None, uid: str) -> Answer:
        if uid not in self.folders:
            return Answer.json({"message": "folder not found", "status": "not-found"}, 404)
        return Answer.json(self.folders[uid])

    def _make_folder(self, body: dict[str, Any]) -> Answer:
        if body["uid"] in self.folders:
            return Answer.json({"message": "the folder has been changed by someone else"}, 409)
        if self._major < 11 and body["title"] in [one["title"] for one in self.folders.values()]:
            return Answer.json({"message": "a folder with the same name already exists"}, 409)
        self.folders[body["uid"]] = {"id": 1, **body, "version": 1}
        return Answer.json(self.folders[body["uid"]])

    # --- Data sources -------------------------------------------------------------------------------------------------

    def _data_source(self, _: None, name: str) -> Answer:
        if name not in self.data_sources:
            return Answer.json({"message": "Data source not found"}, 404)
        return Answer.json(self.data_sources[name])

    def _make_data_source(self, body: dict[str, Any]) -> Answer:
        if body["name"] in self.data_sources:
            return Answer.json({"message": "data source with the same name already exists"}, 409)
        number = len(self.data_sources) + 1
        made = {"id": number, "uid": f"uid-{number}", "isDefault": False, "readOnly": False, "version": 1, **body}
        self.data_sources[body["name"]] = made
        return Answer.json(
            {"datasource": made, "id": number, "message": "Datasource added", "name": body["name"]}
        )  # fmt: skip

    def _change_data_source(self, body: dict[str, Any], uid: str) -> Answer:
        (name,) = [name for name, one in self.data_sources.items() if one["uid"] == uid]
        if self.data_sources[name]["readOnly"]:
            return Answer.json({"message": "Cannot update read-only data source"}, 403)
        self.data_sources[name] = {**body, "version": self.data_sources[name]["version"] + 1}
        return Answer.json({"datasource": self.data_sources[name], "message": "Datasource updated", "name": name})

    # --- Dashboards ---------------------------------------------------------------------------------------------------

    def _dashboard(self, _: None, uid: str) -> Answer:
        if uid not in self.dashboards:
            return Answer.json({"message": "Dashboard not found"}, 404)
        stored = self.dashboards[uid]
        return Answer.json({"dashboard": stored.model, "meta": {"folderUid": stored.folder_uid}})

    def _versions(self, _: None, uid: str) -> Answer:
        if uid not in self.dashboards:
            return Answer.json({"message": "Dashboard not found"}, 404)
        newest_first = self.dashboards[uid].versions[::-1]
        is_list = tuple(map(int, self.version.split(".")[:2])) < (11, 5)
        return Answer.json(newest_first if is_list else {"continueToken": "", "versions": newest_first})

    def _save(self, body: dict[str, Any]) -> Answer:
        model, uid = body["dashboard"], body["dashboard"]["uid"]
        stored = self.dashboards.get(uid)
        if stored is None:
            stored = self.dashboards[uid] = StoredDashboard({"id": len(self.dashboards) + 1}, body["folderUid"])
        elif stored.is_provisioned:
            return Answer.json({"message": "Cannot save provisioned dashboard"}, 400)
        elif not body["overwrite"] and model.get("version") != stored.model["version"]:
            changed = "The dashboard has been changed by someone else"
            return Answer.json({"message": changed, "status": "version-mismatch"}, 412)
        stored.folder_uid = body["folderUid"]
        self._store(stored, model, body["message"], "sa-import")
        slug = re.sub(r"\W+", "-", model["title"].lower())
        found = {"id": stored.model["id"], "uid": uid, "url": f"/d/{uid}/{slug}", "slug": slug}
        return Answer.json({**found, "status": "success", "version": stored.model["version"]})

    def _store(self, stored: StoredDashboard, model: Mapping[str, Any], message: str, by: str) -> None:
        version = len(stored.versions) + 1
        stored.model = {**model, "id": stored.model["id"], "version": version}
        stored.versions.append({"version": version, "createdBy": by, "message": message})
