# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the bill of materials of a release, CycloneDX 1.6 in JSON: `make sbom`.

    .venv/bin/python .ci/sbom.py [FILE]

What is in it: the collection, and each library that the role runtime installs on hosts, by the version and the hashes
of its lock. Nothing of development: none of it is shipped. The same lock gives the same bytes, so that anybody can make
it again; the serial number is made of the content. Needs no network.
Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/; package URLs, ECMA-427.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "roles" / "runtime" / "files" / "lock.txt"
REQUIREMENTS = ROOT / "requirements.txt"
_ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\\\n]*)((?:\s*\\\n\s+--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE
)


def bill() -> dict[str, Any]:
    """Return the bill of materials."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    ours = {
        "type": "library",
        "bom-ref": "certautopilot.ops",
        "group": galaxy["namespace"],
        "name": galaxy["name"],
        "version": galaxy["version"],
        "licenses": [{"license": {"id": "GPL-3.0-or-later"}}],
        "purl": f"pkg:generic/{galaxy['namespace']}/{galaxy['name']}@{galaxy['version']}",
    }
    components = list(_components(LOCK.read_text(encoding="utf-8")))
    asked = re.findall(r"^([A-Za-z0-9._-]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = {_normal(name) for name in asked}
    direct = [one["bom-ref"] for one in components if one["name"] in wanted]
    content = {
        "metadata": {"component": ours},
        "components": components,
        "dependencies": [{"ref": ours["bom-ref"], "dependsOn": direct}],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    serial = uuid.UUID(bytes=digest[:16], version=4)
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return {**head, **content}


def _components(lock: str) -> Iterator[dict[str, Any]]:
    """Yield a component for each entry of a lock. WHY hashes as properties: a release has many files."""
    for name, version, marker, hashes in _ENTRY.findall(lock):
        purl = f"pkg:pypi/{_normal(name)}@{version}"
        properties = [{"name": "file:sha256", "value": one} for one in sorted(re.findall(r"[0-9a-f]{64}", hashes))]
        condition = marker.strip(" ;")
        if condition:
            properties.append({"name": "pip:marker", "value": condition})
        yield {"type": "library", "bom-ref": purl, "name": _normal(name), "version": version, "purl": purl,
               "scope": "required", "properties": properties}  # fmt: skip


def _normal(name: str) -> str:
    """Return a name as the index writes it. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Write the bill to a file, or print it."""
    text = json.dumps(bill(), indent=2, sort_keys=True) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
