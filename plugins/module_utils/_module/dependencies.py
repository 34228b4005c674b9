# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries a module needs on the target, checked before anything runs, by name, version and interpreter.

The minimums are those of requirements.txt at the root and of the documentation fragments.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from types import ModuleType

from ansible.module_utils.basic import missing_required_lib

from .._domain.errors import OpsError
from .._keys import registry

# import name -> (name on the package index, lowest version that works)
LIBRARIES = {
    "pymongo": ("pymongo", "4.9"),
    "cryptography": ("cryptography", "44.0.1"),
    "yaml": ("PyYAML", "6.0"),
    "pyrage": ("pyrage", "1.2"),
    **registry.libraries(),
}


def require(*modules: str) -> None:
    """Raises OpsError dependency.missing or dependency.too_old. modules: import names of LIBRARIES."""
    for module in modules:
        project, minimum = LIBRARIES[module]
        try:
            loaded = importlib.import_module(module)
        except ImportError as cause:
            raise OpsError(
                f"{missing_required_lib(f'{project} >= {minimum}')} (no module {cause.name or module})",
                code="dependency.missing",
                hint="install it for that interpreter, or point ansible_python_interpreter at a virtual environment "
                "that has it; the role certautopilot.ops.runtime makes one",
            ) from None
        found = _version(project, loaded)
        if _release(found) < _release(minimum):
            raise OpsError(
                f"the Python library {project} is {found} at {loaded.__file__}, expected >= {minimum}",
                code="dependency.too_old",
                hint=f"upgrade it for {sys.executable}",
            )


def _version(project: str, loaded: ModuleType) -> str:
    """Return the installed version. A distribution's package may come without metadata; then the module's own word."""
    try:
        return importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(loaded, "__version__", "0"))


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))
