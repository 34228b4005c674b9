# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process that holds a PIN, KEKs or a database password stays in it (X29).

Called by every module and every worker before it reads its first secret. What this does not keep away: root, swap, and
a hypervisor's snapshot; and memory that was let go is not zeroed. SECURITY.md says so too.
"""

from __future__ import annotations

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Forbid core dumps of this process, and other processes of its user to look into it or speak through it.

    Two calls, because the limit does not hold for a core that the kernel pipes to a program, such as systemd-coredump,
    and the other is Linux's only. Where neither can be had the process goes on.
    Source: core(5), PR_SET_DUMPABLE(2const).
    """
    _forbid_core_files()
    if ctypes is not None:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        except (OSError, AttributeError):
            return


def _forbid_core_files() -> None:
    """WHY the soft limit only: a program that we start may raise its own again, and it holds none of our secrets."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        return
