#!/bin/sh
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# customize.sh ROOT WHEELS: makes a test host of a fresh Debian below ROOT (a hook of mmdebstrap, run on the controller).
# The image holds no key and no identity; what one set of hosts has of its own is mounted when it starts (hosts.py).
set -eu
umask 022
root=$1
wheels=$2
here=$(dirname "$0")

# A login user with password-less sudo, as operators have it.
chroot "$root" useradd --create-home --shell /bin/bash --password '*' deploy
install -m 0440 "$here/sudoers" "$root/etc/sudoers.d/deploy"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 0644 "$here/sshd.conf" "$root/etc/ssh/sshd_config.d/host.conf"

# systemd as PID 1 in a container: no hardware, no consoles, nothing that wants the network.
: >"$root/etc/machine-id"
for unit in systemd-udevd systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-logind systemd-timesyncd \
  getty.target console-getty apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer; do
  chroot "$root" systemctl --quiet mask "$unit"
done
install -m 0755 "$here/host-init" "$root/usr/local/sbin/host-init"

# An old Debian has no library for the product: it is there to be refused.
test -n "$wheels" || exit 0

# The stand-in, installed as the product installs itself: user, folders, libraries of its own, unit. Not enabled.
chroot "$root" useradd --system --user-group --groups softhsm --no-create-home --home-dir /nonexistent \
  --shell /usr/sbin/nologin certautopilot
for folder in /etc/certautopilot /var/lib/certautopilot /var/log/certautopilot; do
  chroot "$root" install -d -m 0750 -o certautopilot -g certautopilot "$folder"
done
install -m 0755 "$here/certautopilot" "$root/usr/local/bin/certautopilot"
install -m 0644 "$here/certautopilot.service" "$root/etc/systemd/system/certautopilot.service"
mkdir -p "$root/usr/share/certautopilot/lib"
cp -R "$wheels" "$root/usr/share/certautopilot/wheels"
chroot "$root" python3 -m venv /usr/share/certautopilot/venv
chroot "$root" sh -c '/usr/share/certautopilot/venv/bin/python -m pip install --quiet --no-index --no-deps \
  --disable-pip-version-check /usr/share/certautopilot/wheels/*.whl'
rm -rf "$root/usr/share/certautopilot/wheels"
