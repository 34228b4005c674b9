#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_rotate
short_description: Re-wrap every envelope under a new KEK version
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Re-wraps the data key of every envelope under O(to_version) by compare-and-set in batches, then makes that
    version active by one atomic swap. Payloads are not touched.
  - It can be interrupted at any point, even killed, and goes on when it is run again. An envelope that cannot move is
    named, the others move, the module fails and the active version stays.
  - Several hosts may run it at the same time for the same O(to_version). One of them leads, and the others re-wrap
    ranges of records; if the leader dies, another one leads. Each returns its own share.
  - The leader surveys the database once and keeps the plan in the database; other hosts and later runs follow it.
  - It never crosses providers; changing the provider is a migration.
options:
  to_version:
    description: KEK version to move to. Its key must be loaded here.
    type: int
    required: true
  from_version:
    description: KEK version to move from. If it is left out, envelopes of every other version move.
    type: int
  batch_size:
    description:
      - Documents read, re-wrapped and written at a time, never more than 16 MiB of them.
      - With more than four O(workers), as many for every four of them, because all wait for the slowest at the end.
    type: int
    default: 500
  max_seconds:
    description:
      - Stop between two batches after this many seconds of work and report what remains; V(0) for no limit.
      - The survey before the first envelope moves and the verification before the swap are neither counted nor
        interrupted, because they take as long as the database is large. A run never stops before it has moved
        something, or finds that nothing is left.
    type: int
    default: 0
  progress:
    description:
      - Print one line to standard error after each slice, with percent, envelopes, rate, time left, conflicts and
        failures. Nothing is printed with C(no_log), nor where the run is not sliced.
      - Handled by the action plugin of the same name.
    type: bool
    default: true
  slice_seconds:
    description:
      - Run in slices of about this many seconds, counted as O(max_seconds) is, which limits all slices together.
        V(0) runs in one piece and prints nothing, as do check mode and C(async).
      - Handled by the action plugin of the same name.
    type: int
    default: 5
  slice_of:
    description:
      - Name of the run that this one is a slice of, hexadecimal. What a slice returns counts for the whole run.
      - Set by the action plugin of the same name; leave it out.
    type: str
    default: ""
  allow_empty_fleet:
    description:
      - Rotate although there is no live process. Set it where the installation is stopped on purpose.
    type: bool
    default: false
  allow_downgrade:
    description: Allow a version lower than the active one.
    type: bool
    default: false
  state:
    description:
      - V(cancelled) takes back an unfinished rotation to O(to_version), so that every envelope is under the active
        version again. This is refused after the active version was swapped. It runs in slices as a rotation does; a run
        of the rotation that meets it between two slices ends with C(rotate.cancelled).
    type: str
    choices: [rotated, cancelled]
    default: rotated
  stop_before:
    description:
      - V(swap) ends in the state V(ready), where every envelope is under O(to_version) and verified and the active
        version is still the old one. Nothing irreversible has been done. Run it again without this option to finish,
        or with O(state=cancelled) to take it back.
      - A live process goes on to seal under the old version until the swap. What it seals is moved by the next run,
        with or without this option.
    type: str
    choices: [none, swap]
    default: none
  compromised:
    description:
      - Somebody else may have the old KEK. Payloads are sealed anew under new data keys, the old versions are marked
        compromised, and RV(rotation.reissue) lists every secret that must be replaced, most exposed first.
    type: bool
    default: false
  hsm_share:
    description:
      - At most this many HSM calls a second, so that the service keeps the rest; V(0) for no limit. The limit is for
        each host that takes part.
    type: int
    default: 0
  workers:
    description: Processes of this host that talk to the HSM at the same time.
    type: int
    default: 1
  prove_wraps:
    description:
      - Which fresh wraps are opened again before they are written.
      - V(all) proves every one, and with an HSM also that the payload opens with the data key in it, because an HSM may
        return wrong data without an error. V(sample) opens one in twenty, chosen by chance, and the whole batch if one
        of them is bad; RV(rotation.proof.bad_at_most) says what that is worth. V(none) trusts the HSM.
      - With provider V(env) no payload is opened, because the wrap is made and opened in this process and the payload
        stays as it is. A payload that was damaged before stays damaged; M(certautopilot.ops.db_backup) and
        M(certautopilot.ops.kek_remove) open every payload and name it.
      - With V(sample) and V(none) an HSM that returns wrong data without an error can destroy envelopes, because the
        old wrap is overwritten. Have a backup.
      - Payloads that are sealed anew (O(compromised=true)) are always proven.
    type: str
    choices: [all, sample, none]
    default: all
    aliases: [verify]
  settle_timeout:
    description: Seconds to wait after the swap until every live process writes with the new version.
    type: int
    default: 90
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.kek_pkcs11_init
  - module: certautopilot.ops.kek_info
"""

EXAMPLES = r"""
---
- name: Predict how many envelopes would move
  certautopilot.ops.kek_rotate:
    to_version: 2
  check_mode: true
  become: true

- name: Move everything to version 2
  certautopilot.ops.kek_rotate:
    to_version: 2
  become: true

- name: Move everything, and leave the decision to a maintenance window
  certautopilot.ops.kek_rotate:
    to_version: 2
    stop_before: swap
  become: true

- name: Make the version active, in the window
  certautopilot.ops.kek_rotate:
    to_version: 2
  become: true
"""

RETURN = r"""
---
rotation:
  description: What was done, or would be done in check mode.
  returned: success, and on failure when envelopes could not move
  type: dict
  contains:
    id:
      description: Name of the rotation.
      type: str
    state:
      description:
        - V(complete), V(rewrapping) while envelopes remain, V(ready) when O(stop_before=swap) ended it, V(settling)
          while a live process writes with another version, V(cancelled), V(none) where there was none to cancel.
      type: str
    from_versions:
      description: KEK versions the envelopes came from.
      type: list
      elements: int
    to_version:
      description: KEK version they moved to.
      type: int
    compromised:
      description: Whether payloads were sealed anew under new data keys.
      type: bool
    rewrapped:
      description: Envelopes re-wrapped by this run on this host, all its slices together.
      type: int
    remaining:
      description:
        - Envelopes still under another version, by the counters of the rotation; exact where nobody else writes.
      type: int
    conflicts:
      description: Documents that a writer or another host touched meanwhile; they were read again.
      type: int
    proof:
      description:
        - How the wraps that this host made were proven. Not in check mode, nor where there was nothing to do.
      type: dict
      contains:
        verify:
          description: As asked for by O(prove_wraps).
          type: str
        made:
          description: Wraps that this host made.
          type: int
        opened:
          description: Those of them that were opened again before they were written.
          type: int
        bad_at_most:
          description:
            - Share of bad wraps that a clean sample excludes with 95 % confidence, null where nothing was opened.
          type: float
    retries:
      description:
        - HSM calls that this host had to make again. Calls that only find out the envelopes' layout do not count.
          Present where RV(rotation.proof) is.
      type: int
    failures:
      description: Envelopes that could not move, with place, code and reason.
      type: list
      elements: dict
    reissue:
      description: With O(compromised=true), up to 1000 secrets to replace, each with place and action.
      type: list
      elements: dict
    reissue_total:
      description: With O(compromised=true), how many there are.
      type: int
  sample:
    id: to-2
    state: complete
    from_versions: [1]
    to_version: 2
    rewrapped: 401
    remaining: 0
    conflicts: 0
    failures: []
    proof: {verify: all, made: 401, opened: 401, bad_at_most: 0.0}
    retries: 0
failure:
  description: What stopped the module. Codes are stable; they are listed in the collection's guide to failure
    codes.
  returned: on failure
  type: dict
  contains:
    code:
      description: Stable code of the failure.
      type: str
    step:
      description: Part of the operation that stopped, empty when it had not begun.
      type: str
    retryable:
      description: Whether the same call may succeed later without anybody changing anything.
      type: bool
    hint:
      description: What to do next.
      type: str
  sample:
    code: rotate.incomplete
    step: ""
    retryable: false
    hint: "repair or restore the listed records and run it again"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_rotate

ARGUMENTS = with_installation(
    to_version={"type": "int", "required": True},
    from_version={"type": "int"},
    batch_size={"type": "int", "default": 500},
    max_seconds={"type": "int", "default": 0},
    progress={"type": "bool", "default": True},
    slice_seconds={"type": "int", "default": 5},
    slice_of={"type": "str", "default": ""},
    allow_empty_fleet={"type": "bool", "default": False},
    settle_timeout={"type": "int", "default": 90},
    allow_downgrade={"type": "bool", "default": False},
    compromised={"type": "bool", "default": False},
    hsm_share={"type": "int", "default": 0},
    workers={"type": "int", "default": 1},
    prove_wraps={"type": "str", "choices": ["all", "sample", "none"], "default": "all", "aliases": ["verify"]},
    state={"type": "str", "choices": ["rotated", "cancelled"], "default": "rotated"},
    stop_before={"type": "str", "choices": ["none", "swap"], "default": "none"},
)


def main() -> None:
    run_module(ARGUMENTS, kek_rotate.Options, kek_rotate.run)


if __name__ == "__main__":
    main()
