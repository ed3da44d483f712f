"""Lists of targets in local files and in S3, one by name or many by a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.aws import REGION, Aws
from tests.rig.discovery import Rig, addresses, write

BUCKET = "targets"


class Disk:
    """Files in a folder."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self.root = rig, str(folder)
        self._folder = folder

    def save(self, name: str, content: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def delete(self, name: str) -> None:
        (self._folder / name).unlink()


class Bucket:
    """Objects in S3, over a real socket."""

    def __init__(self, rig: Rig, aws: Aws) -> None:
        self.rig, self.root = rig, f"s3://{BUCKET}/some where"
        self._client = aws.client("s3")
        self._client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def save(self, name: str, content: str) -> None:
        self._client.put_object(Bucket=BUCKET, Key=f"some where/{name}", Body=content.encode())

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=f"some where/{name}")


Place = Disk | Bucket


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, make_rig: Callable[..., Rig]) -> Iterator[Place]:
    if request.param == "disk":
        yield Disk(make_rig(), tmp_path / "some where")
        return
    aws = request.getfixturevalue("aws")
    yield Bucket(make_rig(aws.url), aws)


def entry(place: Place, *names: str) -> str:
    files = ", ".join(f'"{place.root}/{name}"' for name in names)
    return f"file_sd_configs: [{{files: [{files}]}}]"


def one(*targets: str) -> str:
    listed = ", ".join(f'"{target}"' for target in targets)
    return f'[{{"targets": [{listed}], "labels": {{"env": "prod"}}}}]'


@pytest.mark.parametrize("name", ["a.json", "a.yml", "a.YAML"])
def test_one_file(place: Place, name: str) -> None:
    """The groups of the file, with its path as written."""
    place.save(name, one("h:1", "h:2"))
    found = place.rig.found(entry(place, name))
    assert found.warnings == []
    assert addresses(found) == ["h:1", "h:2"]
    assert found.groups[0].labels == {"env": "prod", "__meta_filepath": f"{place.root}/{name}"}


def test_pattern(place: Place) -> None:
    """A star stands for any text in the last part, a leading dot included, and for no slash."""
    for name in ("a-1.json", "a-.json", "a-x.yml", "b-1.json", "a-1.json.bak", "a-2/x.json"):
        place.save(name, one(name))
    found = place.rig.found(entry(place, "a-*.json"))
    assert addresses(found) == ["a-.json", "a-1.json"]
    assert found.groups[1].labels["__meta_filepath"] == f"{place.root}/a-1.json"


def test_other_signs(place: Place) -> None:
    """A question mark is one character, brackets are a choice of them (filepath.Match)."""
    for name in ("u1.json", "u22.json", "uc.json", "axbx.json"):
        place.save(name, one(name))
    assert addresses(place.rig.found(entry(place, "u?.json"))) == ["u1.json", "uc.json"]
    assert addresses(place.rig.found(entry(place, "u[a-f].json"))) == ["uc.json"]
    assert addresses(place.rig.found(entry(place, "a*b*.json"))) == ["axbx.json"]


def test_hidden_files_match(place: Place) -> None:
    """As in Go, where a star also stands for a leading dot, and other signs stand for themselves as a choice of one."""
    place.save(".a.json", one("hidden"))
    place.save("a?[b].json", one("signs"))
    assert addresses(place.rig.found(entry(place, "*.json"))) == ["hidden", "signs"]
    assert addresses(place.rig.found(entry(place, "a[?][[]b]*.json"))) == ["signs"]


def test_pattern_without_files(place: Place) -> None:
    """Nothing to read is no mistake when other files are there."""
    place.save("b.json", one("b"))
    found = place.rig.found(entry(place, "a*.json"))
    assert (found.groups, found.warnings) == ([], [])


def test_broken_file(place: Place) -> None:
    """A broken file keeps its last good targets and does not affect others, until it is valid again."""
    place.save("a.json", one("a:1"))
    place.save("b.json", one("b:1"))
    discovery, rig = place.rig.discovery(entry(place, "*.json")), place.rig
    assert addresses(discovery.targets(rig.deadline())) == ["a:1", "b:1"]
    place.save("a.json", "[{")
    place.save("b.json", one("b:2"))
    rig.clock.ahead += 300
    found = discovery.targets(rig.deadline())
    assert addresses(found) == ["a:1", "b:2"]
    (warning,) = found.warnings
    assert warning.startswith(f"file_sd_configs: {place.root}/a.json: ")
    assert warning.endswith("; the list of 5m ago stays in use (1 target)")
    place.save("a.json", one("a:3"))
    rig.clock.ahead += 10
    found = discovery.targets(rig.deadline())
    assert (addresses(found), found.warnings) == (["a:3", "b:2"], [])


def test_deleted_file_of_a_pattern(place: Place) -> None:
    """Its targets go with it."""
    place.save("a.json", one("a"))
    place.save("b.json", one("b"))
    discovery = place.rig.discovery(entry(place, "*.json"))
    discovery.targets(place.rig.deadline())
    place.delete("a.json")
    place.rig.clock.ahead += 300
    found = discovery.targets(place.rig.deadline())
    assert (addresses(found), found.warnings) == (["b"], [])


def test_missing_file(place: Place) -> None:
    """A missing file is a warning; if it was there before, its targets go."""
    place.save("other.json", one("other"))
    discovery = place.rig.discovery(entry(place, "a.json"))
    found = discovery.targets(place.rig.deadline())
    assert found.groups == []
    (warning,) = found.warnings
    assert f"{place.root}/a.json: " in warning
    assert warning.endswith("no targets are known")
    place.save("a.json", one("a"))
    place.rig.clock.ahead += 10
    assert addresses(discovery.targets(place.rig.deadline())) == ["a"]
    place.delete("a.json")
    place.rig.clock.ahead += 300
    assert addresses(discovery.targets(place.rig.deadline())) == []


def test_several_entries(place: Place) -> None:
    """A bad one does not affect the others."""
    place.save("a.json", one("a"))
    found = place.rig.found(entry(place, "missing.json", "a.json"))
    assert addresses(found) == ["a"]
    assert len(found.warnings) == 1


def test_missing_folder(rig: Rig, tmp_path: Path) -> None:
    """A pattern in a missing folder is likely a typing mistake: a warning."""
    found = rig.found(f"file_sd_configs: [{{files: [{tmp_path}/nowhere/*.json]}}]")
    assert [warning.partition(": ")[2] for warning in found.warnings] == [
        f"{tmp_path}/nowhere/*.json: No such file or directory; no targets are known"
    ]


def test_relative_path(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path without a folder is in the working directory."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", "a:1")
    assert addresses(rig.found("file_sd_configs: [{files: [a.json]}]")) == ["a:1"]
    assert addresses(rig.found("file_sd_configs: [{files: ['*.json']}]")) == ["a:1"]


def test_file_too_long(rig: Rig, tmp_path: Path) -> None:
    """What is no list of targets is not read to its end."""
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(20_000_001)
    (warning,) = rig.found(f"file_sd_configs: [{{files: [{tmp_path}/a.json]}}]").warnings
    assert "it has more than 20000000 bytes" in warning


def test_s3_denied(cloud: Rig, aws: Aws) -> None:
    """The warning names the object and what the role needs."""
    aws.refusal = (403, "AccessDenied")
    name, pattern = "s3://targets/a.json", "s3://targets/t/*.json"
    (first, second) = cloud.found(f"file_sd_configs: [{{files: ['{name}', '{pattern}']}}]").warnings
    assert first.startswith("file_sd_configs: s3://targets/a.json: S3 answered 403: the role needs s3:GetObject")
    assert second.startswith("file_sd_configs: s3://targets/t/*: S3 answered 403: the role needs s3:ListBucket")


def test_s3_listing_fails(make_rig: Callable[..., Rig], aws: Aws) -> None:
    """When the pattern cannot be listed, all its files stay as they were."""
    place = Bucket(make_rig(aws.url), aws)
    place.save("a.json", one("a"))
    discovery = place.rig.discovery(entry(place, "*.json"))
    discovery.targets(place.rig.deadline())
    aws.refusal = (503, "SlowDown")
    place.rig.clock.ahead += 300
    found = discovery.targets(place.rig.deadline())
    assert addresses(found) == ["a"]
    assert "S3 answered 503; the list of 5m ago stays in use (1 target)" in found.warnings[0]
