# Prints what the host is and does: `@key value` lines, and blocks of other programs' output.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=
profile=/nix/var/nix/profiles/system
say() { printf '@%s %s\n' "$1" "$2"; }
say uid "$(id -u)"
say hostname "$(uname -n)"
say machine "$(cat /etc/machine-id 2>/dev/null)"
say boot "$(cat /proc/sys/kernel/random/boot_id)"
read -r up _ </proc/uptime; say uptime "$up"
say at "$(date +%s)"
say current "$(readlink -e /run/current-system)"
say booted "$(readlink -e /run/booted-system)"
say profile "$(readlink -e $profile)"
say link "$(readlink $profile)"
stat -c '%Y %N' $profile-*-link 2>/dev/null | sed -n "s/^\([0-9]*\) '\(.*\)' -> '\(.*\)'\$/@generation \2 \1 \3/p"
[ -d /run/systemd/system ] && say systemd yes
free() { df -P -B1 "$1" 2>/dev/null | { read -r _; read -r _ _ _ free _ && echo "$free"; }; }
say store-free "$(free /nix)"
mountpoint -q /boot 2>/dev/null && say boot-free "$(free /boot)"
if [ -e /run/booted-system/kernel ] &&
  [ "$(readlink -e /run/booted-system/kernel)" != "$(readlink -e /run/current-system/kernel)" ]; then
  say kernel-differs yes
fi
say lock "$(systemctl show -P Description ops-deploy-lock.service)"
say pending "$(cat /var/lib/ops-deploy/pending.json 2>/dev/null)"
say cursor "$(journalctl -q -n0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p')"
echo @units
properties=$1; shift
# Units that are stopped are in no list: those that matter are asked for by name.
systemctl show --no-pager -p "$properties" "$@" '*.service' '*.socket' '*.mount' '*.timer' '*.path' '*.target' '*.swap'
if sockets=$(ss -Hltnp 2>/dev/null); then
  printf '@sockets\n%s\n@groups\n' "$sockets"
  for pid in $(printf '%s\n' "$sockets" | grep -o 'pid=[0-9]*' | sort -u); do
    while read -r group; do echo "${pid#pid=} $group"; done <"/proc/${pid#pid=}/cgroup"
  done 2>/dev/null
fi
echo @end
