"""Software bills of materials in CycloneDX 1.6, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from .licences import spdx
from .packages import Package


def document(file: str, version: str, packages: Iterable[Package], epoch: int) -> str:
    """Of a file of the release, which contains or needs these packages. Raises ValueError when it breaks the schema."""
    subject = _component(Package("lambda-remote-write", version, ("Apache-2.0",)), ComponentType.APPLICATION)
    parts = [_component(one, ComponentType.LIBRARY) for one in packages]
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"pkg:pypi/lambda-remote-write@{version}?file={file}"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.metadata.component = subject
    bom.components.update(parts)
    bom.register_dependency(subject, parts)
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"{file}: {error}")
    return text


def _component(package: Package, kind: ComponentType) -> Component:
    url = PackageURL("pypi", None, package.name, package.version)
    licence = LicenseFactory().make_from_string(spdx(package))
    return Component(
        name=package.name, version=package.version, type=kind, purl=url, bom_ref=str(url), licenses=[licence]
    )
