# A small switch-to-configuration with the contract of the real one: same actions, same order, same statuses. The hooks
# `check`, `activate`, `settled` and `boot` come from the test; what they return is the status.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
etc=/etc/systemd/system
say() { echo "$*" >&2; logger -t nixos -- "$*" 2>/dev/null || :; }

# The boot loader: what stands in /boot/default runs after a reboot, whatever the profile says.
install_boot() {
  boot || exit
  mkdir -p /boot
  echo "$self" >/boot/default.new && sync /boot/default.new && mv /boot/default.new /boot/default || exit 1
  cat >$etc/toy-boot.service <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'exec "$(cat /boot/default)/bin/switch-to-configuration" stage-2'
END
  mkdir -p $etc/multi-user.target.wants
  ln -sfn ../toy-boot.service $etc/multi-user.target.wants/toy-boot.service
}

switch_units() {
  changed=
  for unit in $(grep -l '^X-Toy=' $etc/*.* 2>/dev/null); do
    new=$self$unit
    if [ ! -e "$new" ]; then
      say "stopping the following units: ${unit##*/}"
      systemctl stop "${unit##*/}"; rm -f "$unit"
    elif ! cmp -s "$unit" "$new"; then
      changed="$changed ${unit##*/}"
    fi
  done
  [ -z "$changed" ] || { say "stopping the following units:$changed"; systemctl stop $changed; }
  say "activating the configuration..."
  activate; activated=$?
  [ $activated = 0 ] || say "Failed to run activate script"
  ln -sfn "$self" /run/current-system
  cp "$self"$etc/*.* $etc/ 2>/dev/null
  systemctl reset-failed
  systemctl daemon-reload
  status=0
  [ $activated = 0 ] || status=2
  for unit in $(ls "$self"$etc | grep -v wants); do
    systemctl start "$unit" || { say "Failed to start $unit"; status=4; }
  done
  failed=$(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1)
  [ -z "$failed" ] || { say "warning: the following units failed:" $failed; status=4; }
  settled || status=$?
}

case ${1-} in
check) check ;;
dry-activate) say "would activate the configuration..." ;;
boot) check || exit; install_boot ;;
test | switch)
  mkdir -p /run/nixos
  exec 8>/run/nixos/switch-to-configuration.lock
  flock -n 8 || { say "Could not acquire lock"; exit 11; }
  check || exit
  [ "$1" = test ] || install_boot
  switch_units 8>&-
  [ $status = 0 ] || say "switching to system configuration $self failed (status $status)"
  exit $status
  ;;
stage-2)
  ln -sfn "$self" /run/booted-system
  switch_units
  exit 0
  ;;
*) exit 1 ;;
esac
