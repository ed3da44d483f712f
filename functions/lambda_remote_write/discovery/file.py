"""`file_sd_configs`: lists of targets in local files and in S3, by name or by one of Go's file patterns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..aws.s3 import S3
from ..config import go_glob
from ..config.sd_configs import S3_SCHEME
from .target_groups import DiscoveryError, Gone, Groups, Parts, Refresh, parse_json, parse_yaml

_MAX_BYTES = 20_000_000  # a list of 100,000 targets has about half of it


def refresher(pattern: str, objects: S3) -> Refresh:
    """Reads all files that match one pattern; each is one part of the list, so that a broken one does not affect
    others."""
    if pattern.startswith(S3_SCHEME):
        return lambda deadline: _from_s3(pattern, objects, deadline)
    return lambda _: _from_disk(pattern)


def _from_disk(pattern: str) -> Parts:
    if not go_glob.is_pattern(pattern):
        return {pattern: _read(pattern, partial(_content, pattern))}
    folder, slash, _ = pattern.rpartition("/")
    if not go_glob.is_pattern(folder):
        try:
            next(Path(f"{folder}{slash}").iterdir(), None)
        except FileNotFoundError as error:
            return {pattern: Gone(_detail(pattern, error))}
        except OSError as error:
            raise DiscoveryError(_detail(pattern, error)) from None
    return {path: _read(path, partial(_content, path)) for path in go_glob.find(pattern)}


def _content(path: str) -> bytes:
    with Path(path).open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise DiscoveryError(f"{path}: it has more than {_MAX_BYTES} bytes")
    return content


def _from_s3(pattern: str, objects: S3, deadline: float) -> Parts:
    bucket, _, wanted = pattern.removeprefix(S3_SCHEME).partition("/")
    keys = [wanted]
    if go_glob.is_pattern(wanted):
        try:
            listed = objects.list(bucket, go_glob.fixed_part(wanted), deadline)
        except OSError as error:
            raise DiscoveryError(str(error)) from None
        matches = go_glob.compiled(wanted).fullmatch
        keys = [key for key in listed if matches(key)]
    places = {f"{S3_SCHEME}{bucket}/{key}": key for key in keys}
    return {place: _read(place, partial(objects.get, bucket, key, deadline)) for place, key in places.items()}


def _read(place: str, content: Callable[[], bytes]) -> Groups | DiscoveryError:
    """One file's groups, or why there are none."""
    parse = parse_json if place.lower().endswith(".json") else parse_yaml
    try:
        return parse(content(), place, {"__meta_filepath": place})
    except DiscoveryError as error:
        return error
    except FileNotFoundError as error:
        return Gone(_detail(place, error))
    except OSError as error:
        return DiscoveryError(_detail(place, error))


def _detail(place: str, error: OSError) -> str:
    return f"{place}: {error.strerror}" if error.strerror else str(error)
