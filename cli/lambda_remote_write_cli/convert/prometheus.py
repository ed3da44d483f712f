"""prometheus.yml -> ours: nearly all of it stays as it is written; what needs a server goes."""

from __future__ import annotations

from lambda_remote_write.config import global_config, unsupported_keys

from .http_client import move_userinfo
from .tree import Comment, DroppedKeys, Entry, List, Map

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


def convert(top: Map, losses: DroppedKeys) -> Map:
    """The same tree, without what has no meaning here."""
    for entry in top.pairs():
        if entry.key in unsupported_keys.IGNORED_TOP_LEVEL:
            losses.drop(top, entry, unsupported_keys.IGNORED_TOP_LEVEL[entry.key])
    if files := top.get("scrape_config_files"):
        losses.change(files, _FILES)
    settings = top.get("global")
    if settings and isinstance(settings.value, Map):
        tidy_global(settings.value, losses)
    for job in top.items("scrape_configs"):
        tidy_job(job, losses)
    for endpoint in top.items("remote_write"):
        if isinstance(endpoint.value, Map):
            _tidy_endpoint(endpoint.value, losses)
    if top.get("remote_write") is None and not any(NO_ENDPOINT[:16] in line for line in said_in(top)):
        top.entries.append(Comment(NO_ENDPOINT, above=[""]))
    return top


def said_in(top: Map) -> list[str]:
    """The comments at the top level."""
    return [line for entry in top.entries for line in entry.above]


def tidy_global(settings: Map, losses: DroppedKeys) -> None:
    for entry in settings.pairs():
        if entry.key in unsupported_keys.IGNORED_GLOBAL:
            losses.drop(settings, entry, unsupported_keys.IGNORED_GLOBAL[entry.key])
    drop_replica(settings.map("external_labels"), losses)


def drop_replica(labels: Map, losses: DroppedKeys) -> None:
    """Of the labels of a pair of servers, the one that says which of them this is."""
    if entry := labels.get(global_config.HA_REPLICA):
        losses.drop(labels, entry, NO_REPLICA)


def tidy_job(job: Entry, losses: DroppedKeys) -> None:
    if isinstance(job.value, Map) and (entry := job.value.get("scrape_failure_log_file")):
        losses.drop(job.value, entry, _NO_LOG_FILE)
    for found in _discoveries(job):
        move_userinfo(found, "url")


def _discoveries(job: Entry) -> list[Map]:
    """The blocks that name an address of their own."""
    items = job.value.items("http_sd_configs") if isinstance(job.value, Map) else []
    return [item.value for item in items if isinstance(item.value, Map)]


def _tidy_endpoint(endpoint: Map, losses: DroppedKeys) -> None:
    move_userinfo(endpoint, "url")
    for key in ("azuread", "google_iam"):
        if entry := endpoint.get(key):
            losses.drop(endpoint, entry, unsupported_keys.REMOTE_WRITE[key])
    rules = endpoint.get("write_relabel_configs")
    for rule in endpoint.items("write_relabel_configs"):
        sets_it = isinstance(rule.value, Map) and rule.value.text("target_label") == global_config.HA_REPLICA
        if sets_it and rules and isinstance(rules.value, List):
            losses.drop(rules.value, rule, NO_REPLICA, name=global_config.HA_REPLICA)


def jobs_of(top: Map) -> list[Entry]:
    """The entries of scrape_configs that are maps."""
    found = top.get("scrape_configs")
    items = found.value.pairs() if found and isinstance(found.value, List) else []
    return [item for item in items if isinstance(item.value, Map)]
