"""The config in use as text, without secrets: shown is only what was read as a value that is none.

Comments are left out, and so is what nothing has read, as a section of Prometheus that does nothing here.
"""

from __future__ import annotations

import re

import yaml

from lambda_remote_write.config.load import YamlDocument
from lambda_remote_write.config.secrets import looks_like_reference
from lambda_remote_write.config.yaml_reader import is_null, shown_url
from lambda_remote_write.report.mask import MASKED

_Dumper: type = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STR = "tag:yaml.org,2002:str"
_URL = re.compile(r"https?://(?:(?!://)\S)*")  # one, and no other within it
_URL_KEY = re.compile(r"url|.*_url|endpoint")
_REFERENCE_KEY = re.compile(r"refs?|.*_ref")  # where a secret is, not what it is
_PARAM = "__param_"  # a label that becomes a parameter of the request
_LABELS, _OWN_NAMES = "labels", ("labels", "refs")  # maps whose keys are names of the user's own
_SENT = ("headers", "http_headers", "proxy_connect_header", "params", "query", "endpoint_params")  # by names of others
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s]*@|^[^/\s@:]+:[^/\s@]*@")
_QUERY = re.compile(r"(?i)\b(https?://[^\s?#]+)[?#]\S+")
_PATH_KEYS, _PATH_QUERY = ("metrics_path", "__metrics_path__"), re.compile(r"([^?#]*)[?#].+", re.DOTALL)


def masked(document: YamlDocument) -> str:
    """A file of the config as YAML."""
    return str(yaml.serialize(_Masking(document).of(document.node, ""), Dumper=_Dumper, allow_unicode=True, width=120))


class _Masking:
    """Builds the tree anew. What an alias names is one node there too."""

    def __init__(self, document: YamlDocument) -> None:
        self._scalars = document.scalars
        self._made: dict[tuple[int, str], yaml.Node] = {}

    def of(self, node: yaml.Node, key: str) -> yaml.Node:
        """The node, which stands at `key`, without secrets."""
        known = self._made.get((id(node), key))
        if known is None:
            known = self._made[id(node), key] = self._new(node, key)
        return known

    def _new(self, node: yaml.Node, key: str) -> yaml.Node:
        if isinstance(node, yaml.MappingNode):
            pairs = [(name, self.of(value, _key(node, key, _text_of(name)))) for name, value in node.value]
            return yaml.MappingNode(node.tag, pairs, flow_style=False)
        if isinstance(node, yaml.SequenceNode):
            return yaml.SequenceNode(node.tag, [self.of(one, key) for one in node.value], flow_style=node.flow_style)
        if not isinstance(node, yaml.ScalarNode) or is_null(node) or not node.value:
            return node
        shown = self._shown(node, key)
        return node if shown == node.value else yaml.ScalarNode(_STR, shown)

    def _shown(self, node: yaml.ScalarNode, key: str) -> str:
        text: str = node.value
        if key.startswith(_PARAM):
            return MASKED
        is_plain = node in self._scalars.plain and node not in self._scalars.hidden
        if is_plain or (key == _LABELS and node in self._scalars.hidden):
            if key in _PATH_KEYS:
                return _PATH_QUERY.sub(rf"\1?{MASKED}", text)
            return _QUERY.sub(rf"\1?{MASKED}", _USER.sub(rf"\1{MASKED}@", text))
        if node not in self._scalars.hidden:
            return MASKED
        if _URL_KEY.fullmatch(key) and _URL.fullmatch(text):
            return shown_url(text) + (f"?{MASKED}" if "?" in text or "#" in text else "")
        is_reference = _REFERENCE_KEY.fullmatch(key) and looks_like_reference(text)
        return text if is_reference else MASKED


def _key(parent: yaml.MappingNode, key: str, name: str) -> str:
    """What says how a value in a map is shown: its name, but for names that are the user's own. Relabelling can make a
    parameter or a path, too."""
    if name.startswith(_PARAM):
        return name
    if key in _SENT:
        return ""
    if key in _OWN_NAMES:
        return key
    if name == "replacement":
        targets = {_text_of(value) for one, value in parent.value if _text_of(one) == "target_label"}
        made = [target for target in targets if target.startswith(_PARAM) or target in _PATH_KEYS]
        return made[0] if made else name
    return name


def _text_of(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
