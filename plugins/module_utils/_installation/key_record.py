# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of a version before it is there: what the database says about it, and whether the token agrees (T8, T24).

For kek_pkcs11_init. `read` it again after every wait (ADR-0018); nothing here writes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.key_names import KeyReference, reference
from .._domain.settings import Settings
from .._domain.vendor_messages import init_on_foreign_lock, one_of
from .._keys import registry
from .._keys.kind import ProviderKind
from .._keys.provider import KeyAdmin
from .._store import install_lock, keystore
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.keystore import Intent, KeyState, Keystore
from .refusals import envelopes_without_lock, rows_without_lock
from .survey import Survey


class TokenDisagrees(OpsError):
    """The token holds a key that the database, as it was read, does not explain."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the database says about one KEK version: all that is decided by, read in one go.

    intent: of a run that began to make it, None where none is under way.
    """

    version: int
    intent: Intent | None
    keys: Keystore
    lock: InstallLock | None

    @property
    def exists(self) -> bool:
        """True when the version has its row: its key is then proven and never made."""
        return self.version in self.keys.rows

    @property
    def complete(self) -> bool:
        """True when the row is there and no crash left anything out."""
        finished = self.lock is not None and self.keys.active is not None and self.intent is None
        return self.exists and finished

    @property
    def first_state(self) -> KeyState:
        """Return the state that a new version begins with: the first one is used at once."""
        return KeyState.PRE_ACTIVATION if self.keys.rows else KeyState.ACTIVE

    def planned(self, kind: ProviderKind) -> Intent:
        """Return how the key is or will be named: as an earlier run meant it, else under the installation's id."""
        if self.intent is not None:
            return self.intent
        install_id = (self.lock.install_id if self.lock else None) or uuid.uuid4().hex
        return Intent(self.version, kind.NAME, install_id, reference(install_id, self.version))

    def require_makeable(self, store: Store, found: Survey) -> None:
        """Raises OpsError lock.missing_with_envelopes, .missing_with_keystore, init.version_in_use, .version_gap.

        SAFE BECAUSE a survey from before a wait will do: only who has the version loaded writes an envelope of it, and
        its row is older than that.
        """
        if self.lock is None and found.total:
            raise envelopes_without_lock(store, found.total)
        if self.lock is None and self.keys.rows:
            raise rows_without_lock(store, self.keys)
        newest = max(self.keys.rows, default=0)
        if not self.exists and self.version in found.by_version:
            raise OpsError(
                f"KEK version {self.version} has no keystore row but {found.by_version[self.version]} envelope(s) "
                "name it",
                code="init.version_in_use",
                hint="restore the keystore row and the key it points to; a new key would not open them",
            )
        if not self.exists and self.version != newest + 1:
            raise OpsError(
                f"version {self.version} was asked for, the keystore's newest is {newest}",
                code="init.version_gap",
                hint=f"make version {newest + 1} next",
            )


def read(settings: Settings, store: Store, version: int) -> KeyRecord:
    """Return the record as it is now. Raises what `checked_lock` raises.

    WHY in this order: written are intent, lock and row, then the intent goes. Who sees no intent that is gone sees its
    row, and who sees a row sees its lock.
    """
    intent = keystore.read_intent(store, version)
    keys = keystore.read(store)
    return KeyRecord(version, intent, keys, checked_lock(settings, store))


def checked_lock(settings: Settings, store: Store) -> InstallLock | None:
    """Return the lock, None where there is none yet. Raises OpsError lock.*, init.provider."""
    lock = install_lock.read(store)
    if lock is not None and not registry.locked_kind(lock.provider).DEVICE:
        raise init_on_foreign_lock(lock.provider, lock.installed_at, lock.installed_by or "unknown")
    if lock is not None:
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
    kind = registry.configured(settings)
    if not kind.DEVICE:
        raise needs_device(kind)
    return lock


def matching_keys(admin: KeyAdmin, planned: KeyReference, *, begun: bool) -> int:
    """Return 0 or 1: how many keys of ours the token holds. begun: an intent was written by an earlier run.

    Raises TokenDisagrees for anything else (T24).
    """
    count = admin.find_key(planned.label, planned.key_id)
    if count.by_label > 1 or count.by_id > 1 or count.by_label != count.by_id:
        raise TokenDisagrees(
            f'the token holds {count.by_label} key(s) labelled "{planned.label}" and {count.by_id} with id '
            f"{planned.key_id.hex()}, expected the same one or none",
            code="init.key_in_the_way",
            hint="that key belongs to another installation or was made by hand: use another token, or remove it by "
            "hand after proving that nothing needs it",
        )
    if count.by_id == 1 and not begun:
        raise TokenDisagrees(
            f'the token holds key "{planned.label}" with the id of this installation, which the database does not know',
            code="init.key_unexpected",
            hint="was this database restored from an older backup? restore the keystore row that belongs to the key",
        )
    return count.by_id


def needs_device(kind: ProviderKind) -> OpsError:
    """Return the refusal to make a key for a provider whose keys are given."""
    wanted = registry.names(device=True)
    return OpsError(
        f'config says provider "{kind.NAME}", pkcs11-init needs {one_of(wanted)}',
        code="init.provider",
        hint=f"set encryption.provider: {wanted[0]} in this installation's config.yaml, or `provider: {wanted[0]}`",
    )
