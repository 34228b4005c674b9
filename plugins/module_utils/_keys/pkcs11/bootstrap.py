# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a worker process gets its program: as source over its standard input, never from a path.

Inside a module the collection is a zip file that may be gone tomorrow, and `-m` or multiprocessing would run the
module's `__main__` again; a worker that is handed its source needs neither (ADR-0005).
"""

from __future__ import annotations

import marshal
import pkgutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # WHY: AnsiballZ ships what it sees imported, and looks into this block; Python does not, so that the parent never
    # loads the binding.
    from .worker import (  # noqa: F401
        base,
        binding,
        ckr,
        engine,
        examine,
        function_list,
        gate,
        gcm_calls,
        iv_rule,
        keys,
        main,
        private_memory,
        session,
        slots,
        token_setup,
    )

# Each file comes after those it imports.
SOURCES = (
    "binding",
    "base",
    "private_memory",
    "ckr",
    "function_list",
    "gate",
    "gcm_calls",
    "iv_rule",
    "slots",
    "session",
    "keys",
    "engine",
    "examine",
    "token_setup",
    "main",
)

# Reads one frame with os.read (a buffered reader would swallow the next one, which holds the PIN), makes the files
# modules of a package of their own so that their relative imports hold, and runs the last one's main().
READER = """
import marshal, os, sys, types
def read(length):
    data = b""
    while len(data) < length:
        part = os.read(0, length - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
paths, sources = marshal.loads(read(int.from_bytes(read(4), "big")))
sys.path[:] = paths
package = sys.modules["kek_worker"] = types.ModuleType("kek_worker")
package.__path__ = []
for name, source in sources:
    module = sys.modules["kek_worker." + name] = types.ModuleType("kek_worker." + name)
    module.__package__ = "kek_worker"
    setattr(package, name, module)
    exec(compile(source, "<kek_worker/" + name + ".py>", "exec"), module.__dict__)
sys.modules["kek_worker.main"].main()
"""


def command() -> list[str]:
    """Return the worker's command line: this interpreter, isolated, and a reader without any secret in it."""
    return [sys.executable, "-I", "-c", READER]


def program() -> bytes:
    """Return the first frame's content: this interpreter's search path, and the worker's source files in order."""
    sources = []
    for name in SOURCES:
        source = pkgutil.get_data(f"{__package__}.worker", f"{name}.py")
        if source is None:
            raise ValueError(f"{name}.py was not shipped with the module")
        sources.append((name, source))
    return marshal.dumps(([path for path in sys.path if path], sources))
