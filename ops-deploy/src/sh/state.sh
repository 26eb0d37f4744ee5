# Prints what the host is and does: `@key value` lines, and blocks of other programs' output. A brief look has no need of what
# does not change during a deployment.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=
profile=/nix/var/nix/profiles/system
brief=$1 properties=$2; shift 2
say() { printf '@%s %s\n' "$1" "$2"; }
read -r boot </proc/sys/kernel/random/boot_id; say boot "$boot"
read -r up _ </proc/uptime; say uptime "$up"
keys= links=
for link in current:/run/current-system booted:/run/booted-system profile:$profile; do
  [ ! -e "${link#*:}" ] || keys="$keys ${link%%:*}" links="$links ${link#*:}"
done
[ -z "$links" ] || readlink -e $links | for key in $keys; do read -r path && say "$key" "$path"; done
[ ! -e /run/booted-system/kernel ] || [ /run/booted-system/kernel -ef /run/current-system/kernel ] || say kernel-differs yes
if [ -z "$brief" ]; then
  say uid "$(id -u)"
  say hostname "$(uname -n)"
  say machine "$(cat /etc/machine-id 2>/dev/null)"
  say at "$(date +%s)"
  say link "$(readlink $profile)"
  stat -c '%Y %N' $profile-*-link 2>/dev/null | sed -n "s/^\([0-9]*\) '\(.*\)' -> '\(.*\)'\$/@generation \2 \1 \3/p"
  [ ! -d /run/systemd/system ] || say systemd yes
  free() { df -P -B1 "$1" 2>/dev/null | { read -r _; read -r _ _ _ free _ && echo "$free"; }; }
  say store-free "$(free /nix)"
  mountpoint -q /boot 2>/dev/null && say boot-free "$(free /boot)"
  say pending "$(cat /var/lib/ops-deploy/pending.json 2>/dev/null)"
  say cursor "$(journalctl -q -n0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p')"
fi
# Units that are stopped are in no list: those that matter are asked for by name. To tell all about a unit takes systemd a
# millisecond, and it has hundreds; only of services more than the state can change while they run.
if [ -n "$brief" ]; then
  echo @list
  systemctl list-units --plain --no-legend --full --type=service,socket,mount,automount,timer,path,target,swap,slice
else
  set -- "$@" '*.socket' '*.mount' '*.automount' '*.timer' '*.path' '*.target' '*.swap' '*.slice'
fi
echo @units
systemctl show --no-pager -p "$properties" "$@" '*.service'
if sockets=$(ss -Hltnp 2>/dev/null); then
  printf '@sockets\n%s\n@groups\n' "$sockets"
  for pid in $(printf '%s\n' "$sockets" | grep -o 'pid=[0-9]*' | sort -u); do
    while read -r group; do echo "${pid#pid=} $group"; done <"/proc/${pid#pid=}/cgroup"
  done 2>/dev/null
fi
echo @end
