# Runs inside the new tree, before its first boot.

update-ca-certificates > /dev/null

# People. The lab's key opens every account; the password is for sudo only.
people() {
    useradd --create-home --shell "$2" "$1"
    echo "$1:made-up" | chpasswd
}
people op /bin/bash         # sudo without a password
people asker /bin/bash      # sudo with one
people fisher /usr/bin/fish # a login shell that is not POSIX; sudo without a password
people guest /bin/sh        # no sudo
cat > /etc/sudoers.d/ops-lab <<'END'
op     ALL=(ALL:ALL) NOPASSWD: ALL
fisher ALL=(ALL:ALL) NOPASSWD: ALL
asker  ALL=(ALL:ALL) ALL
END
chmod 440 /etc/sudoers.d/ops-lab

# Accounts of services, named as the NixOS modules name them.
useradd --system --home-dir /var/lib/mautrix-slack --shell /usr/sbin/nologin mautrix_slack
useradd --system --home-dir /var/lib/continuwuity --shell /usr/sbin/nologin continuwuity

# PostgreSQL's own programs, not Debian's wrappers that look for Debian's clusters.
for program in /usr/lib/postgresql/17/bin/*; do
    ln -s "$program" /usr/local/bin/
done

# Nothing runs but sshd; no timers, no terminals, nothing that waits for a network that is there already.
systemctl --quiet disable nginx.service
rm -f /etc/systemd/system/multi-user.target.wants/postgresql.service
systemctl --quiet mask console-getty.service getty.target systemd-timesyncd.service systemd-journal-remote.socket \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
systemctl --quiet set-default multi-user.target
mkdir -p /var/log/journal # persistent, as on NixOS
rm -f /etc/ssh/ssh_host_* /etc/machine-id /etc/hostname /etc/nginx/sites-enabled/default
