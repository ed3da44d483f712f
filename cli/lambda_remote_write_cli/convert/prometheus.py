"""prometheus.yml -> ours: nearly all of it stays as it is written; what needs a server goes."""

from __future__ import annotations

from collections.abc import Collection

from lambda_remote_write.config import global_config, unsupported_keys

from .http_client import move_userinfo
from .relabelling import rules_of
from .tree import Comment, DroppedKeys, Entry, Map

NO_ENDPOINT = (
    "no remote_write: the samples go to the workspace in PUSHER_WORKSPACE, which the template sets. To name one here: "
    "remote_write: [{workspace: ws-CHANGE-ME}]"
)
_FILES = "the files named here are read as they stand: convert each, and keep them where the config can name them"
NO_REPLICA = (
    "AMP keeps one of a pair of Prometheus servers by it, and stores nothing of the other: one sender is enough here; "
    "the label cluster may stay"
)
_NO_LOG_FILE = "failures are in the run's log line"


def convert(top: Map, dropped: DroppedKeys) -> Map:
    """The same tree, without what has no meaning here."""
    for entry in top.pairs():
        if entry.key in unsupported_keys.IGNORED_TOP_LEVEL:
            dropped.drop(top, entry, unsupported_keys.IGNORED_TOP_LEVEL[entry.key])
    if files := top.get("scrape_config_files"):
        dropped.change(files, _FILES)
    tidy_global(top.map("global"), dropped)
    for job in top.items("scrape_configs"):
        tidy_job(job, dropped)
    for endpoint in top.maps("remote_write"):
        _tidy_endpoint(endpoint, dropped)
    if top.get("remote_write") is None and not any(NO_ENDPOINT[:16] in line for line in said_in(top)):
        top.entries.append(Comment(NO_ENDPOINT, above=[""]))
    return top


def said_in(top: Map) -> list[str]:
    """The comments at the top level."""
    return [line for entry in top.entries for line in entry.above]


def tidy_global(settings: Map, dropped: DroppedKeys) -> None:
    for entry in settings.pairs():
        if entry.key in unsupported_keys.IGNORED_GLOBAL:
            dropped.drop(settings, entry, unsupported_keys.IGNORED_GLOBAL[entry.key])
    drop_replica(settings.map("external_labels"), dropped)


def drop_replica(labels: Map, dropped: DroppedKeys) -> None:
    """Of the labels of a pair of servers, the one that says which of them this is."""
    if entry := labels.get(global_config.HA_REPLICA):
        dropped.drop(labels, entry, NO_REPLICA)


def tidy_job(job: Entry, dropped: DroppedKeys) -> None:
    if entry := job.map.get("scrape_failure_log_file"):
        dropped.drop(job.map, entry, _NO_LOG_FILE)
    for discovery in job.map.maps("http_sd_configs"):
        move_userinfo(discovery, "url")


def _tidy_endpoint(endpoint: Map, dropped: DroppedKeys) -> None:
    move_userinfo(endpoint, "url")
    for key in ("azuread", "google_iam"):
        if entry := endpoint.get(key):
            dropped.drop(endpoint, entry, unsupported_keys.REMOTE_WRITE[key])
    for rule in endpoint.items("write_relabel_configs"):
        if rule.map.text("target_label") == global_config.HA_REPLICA:
            rules = rules_of(endpoint, "write_relabel_configs")
            dropped.drop(rules, rule, NO_REPLICA, name=global_config.HA_REPLICA)


def jobs_of(top: Map) -> list[Entry]:
    """The entries of scrape_configs that are maps."""
    return [item for item in top.items("scrape_configs") if isinstance(item.value, Map)]


def free_name(name: str, taken: Collection[str]) -> str:
    """The name of a job, with a number where it is taken."""
    found, count = name, 2
    while found in taken:
        found, count = f"{name}-{count}", count + 1
    return found
