# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU seconds: of the benchmark, and of everything else on this machine meanwhile (wall times then mean little)."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
TOLERATED_CORES = 0.25  # what other processes may use before a comparison of wall times means nothing


class CpuClock:
    """Reads CPU seconds since it was made. server_pids: 0 for a given server, whose CPU is then not counted."""

    def __init__(self, *server_pids: int) -> None:
        self._server_pids = [pid for pid in server_pids if pid]
        self._began = time.monotonic()
        self._ours, self._all = self._benchmark(), _whole_machine()

    def spent(self) -> float:
        """Return the CPU seconds of the server, this process and the children that it waited for."""
        return self._benchmark() - self._ours

    def doubt(self) -> str:
        """Return why wall times since then cannot be judged, "" when they can."""
        others = (_whole_machine() - self._all - self.spent()) / (time.monotonic() - self._began)
        if others <= TOLERATED_CORES:
            return ""
        return f"not counted: other processes used {others:.1f} of {os.cpu_count()} cores meanwhile"

    def _benchmark(self) -> float:
        times = os.times()
        server = 0.0
        for pid in self._server_pids:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            server += sum(int(ticks) for ticks in stat.rsplit(")", 1)[1].split()[11:13]) / TICKS
        return times.user + times.system + times.children_user + times.children_system + server


def _whole_machine() -> float:
    """Return busy seconds of all cores: user, nice, system, irq, softirq and steal of /proc/stat."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    return sum(int(fields[place]) for place in (0, 1, 2, 5, 6, 7)) / TICKS
