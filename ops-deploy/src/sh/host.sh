# The part of a deployment that runs on the host. `sh -c THIS sh FUNCTION ARG...` calls one function; `begin` also leaves a
# copy in $run, which the transient units and the dead man's timer run.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/sbin:/sbin:/usr/bin:/bin
export PATH LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER= NIXOS_INSTALL_BOOTLOADER=0
run=/run/ops-deploy lib=/var/lib/ops-deploy profile=/nix/var/nix/profiles/system
roots=/nix/var/nix/gcroots

# begin ID OWNER LOCK_S ARMED_S OLD PROFILE GENERATION NEW; stdin: the pending record in one line, then this text.
# Takes the lock, makes sure that the host is still the one that was looked at, and arms the timer.
begin() {
  id=$1 owner=$2 lock_s=$3 armed_s=$4 old=$5 was=$6 generation=$7 new=$8
  systemctl is-active -q ops-deploy-revert.service && { say reverting; exit 75; }
  systemd-run --quiet --collect --unit=ops-deploy-lock --description="ops-deploy $id $owner" sleep "$lock_s" 2>/dev/null ||
    { say locked "$(systemctl show -P Description ops-deploy-lock.service)"; exit 75; }
  if [ "$(readlink -e /run/current-system || readlink -e $profile)" != "$old" ] ||
    [ "$(readlink -e $profile)" != "$was" ]; then
    systemctl stop ops-deploy-lock.service
    say changed; exit 75
  fi
  clear_units
  umask 022
  mkdir -p $run $lib $roots || { systemctl stop ops-deploy-lock.service; exit 74; }
  [ -e $lib/pending.json ] && close interrupted "nobody finished it: the deploying process was lost"
  rm -f $run/reverted
  { read -r record && printf '%s\n' "$record" >$lib/pending.new && cat >$run/host.sh &&
    sync $lib/pending.new && mv $lib/pending.new $lib/pending.json && ln -sfn "$new" $roots/ops-deploy; } ||
    { rm -f $lib/pending.new; systemctl stop ops-deploy-lock.service; exit 74; }
  [ -n "$old" ] || return 0
  systemd-run --quiet --collect --unit=ops-deploy-revert --on-active="${armed_s}s" --timer-property=AccuracySec=100ms \
    --setenv=PATH="$PATH" /bin/sh $run/host.sh expired "$old" "$was" "$generation" ||
    { finish_without_record; exit 69; }
}

# start UNIT LIMIT_S COMMAND...: runs a command in a transient unit, without a pipe to anybody, and follows it.
start() {
  unit=$1 limit_s=$2; shift 2
  cursor=$(journalctl -q -n0 --show-cursor | sed -n 's/^-- cursor: //p')
  systemctl stop "$unit.service" 2>/dev/null; systemctl reset-failed "$unit.service" 2>/dev/null
  refused=$(systemd-run --quiet --unit="$unit" --service-type=exec -p RemainAfterExit=yes -p RuntimeMaxSec="$limit_s" \
    -p TimeoutStopSec=10s --setenv=PATH="$PATH" --setenv=NIXOS_INSTALL_BOOTLOADER=0 "$@" 2>&1) || systemctl is-failed -q "$unit.service" || {
    say refused "$(printf %s "$refused" | tr '\n' ' ')"
    say ended "LoadState=loaded Result=exit-code ExecMainCode=1 ExecMainStatus=203"
    return
  }
  follow "$unit" "$cursor"
}

# follow UNIT CURSOR: prints the journal of a unit until it has ended, then how it ended.
follow() {
  unit=$1 cursor=$2 invocation=$(systemctl show -P InvocationID "$1.service")
  while :; do
    state=$(systemctl show -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus "$unit.service" | tr '\n' ' ')
    case $state in
    *ActiveState=active*SubState=exited* | *ActiveState=failed* | *ActiveState=inactive*) ended=1 ;;
    *) ended= ;;
    esac
    [ -n "$ended" ] && journalctl --sync 2>/dev/null
    batch=$(journalctl -q -o json --output-fields=MESSAGE ${cursor:+--after-cursor="$cursor"} --show-cursor \
      _SYSTEMD_INVOCATION_ID="$invocation" 2>/dev/null)
    [ -n "$batch" ] && {
      printf '%s\n' "$batch"
      case $batch in *'-- cursor: '*) cursor=${batch##*-- cursor: } ;; esac
    }
    [ -n "$ended" ] && break
    sleep 0.2
  done
  say ended "$state"
}

# revert OLD PROFILE GENERATION: puts exactly this system and this generation back. Can be called again and again.
revert() {
  old=$1 was=$2 generation=$3
  mkdir -p $run && alone
  [ -e $run/reverted ] && return "$(cat $run/reverted)"
  for unit in activate commit; do
    systemctl stop ops-deploy-$unit.service; systemctl reset-failed ops-deploy-$unit.service
  done 2>/dev/null
  status=0
  if [ "$(readlink -e $profile)" != "$was" ] && [ -n "$was" ]; then
    if [ -n "$generation" ]; then nix-env -p $profile --switch-generation "$generation"
    else nix-env -p $profile --set "$was"; fi && "$was/bin/switch-to-configuration" boot || status=1
  fi
  "$old/bin/switch-to-configuration" test; tested=$?
  [ $tested = 0 ] || [ $tested = 4 ] || status=$tested
  echo $status >$run/reverted
  sync
  return $status
}

# default PROFILE GENERATION: makes this system and this generation the ones that boot, if they are not.
default() {
  [ -n "$1" ] && [ "$(readlink -e $profile)" != "$1" ] || return 0
  if [ -n "$2" ]; then nix-env -p $profile --switch-generation "$2"; else nix-env -p $profile --set "$1"; fi &&
    "$1/bin/switch-to-configuration" boot && sync
}

# reboot: goes down, after an answer.
reboot() { sync; systemctl --no-block reboot; }

# relock ID OWNER LOCK_S: takes the lock again after a reboot.
relock() { systemd-run --quiet --collect --unit=ops-deploy-lock --description="ops-deploy $1 $2" sleep "$3"; }

# expired OLD PROFILE GENERATION: what the timer does when nobody has said within the armed time that all is well.
expired() {
  alone
  [ -e $run/host.sh ] || exit 0 # over, while this waited
  if [ -e $run/committed ]; then close deployed "healthy; the deploying process was lost before it could say so"
  elif revert "$@"; then close rolled-back "not confirmed in time: the deploying process was lost"
  else close unknown "not confirmed in time, and putting the old system back failed with status $?"; fi
  clear_units
  finish_without_record
}

# alone: keeps commit, finish and the two ways of putting back apart. Children of theirs must not inherit the lock.
alone() { exec 9>$run/revert.lock && flock 9; }

# commit NEW: makes the running system the one that boots. From then on the timer no longer puts anything back.
commit() {
  alone
  [ -e $run/reverted ] && return 3
  nix-env -p $profile --set "$1" 9>&- || return 1
  "$1/bin/switch-to-configuration" boot 9>&- || return 2
  sync
  : >$run/committed
}

# keep: the running system stays, but another one boots.
keep() { alone; [ ! -e $run/reverted ] && : >$run/committed; }

# finish ID; stdin: the record. Writes down what happened, and lets go of the host.
finish() {
  mkdir -p $run && alone
  systemctl stop ops-deploy-revert.timer ops-deploy-revert.service 2>/dev/null
  read -r record
  case $(cat $lib/pending.json 2>/dev/null) in
  *"\"id\":\"$1\""*) printf '%s\n' "$record" >>$lib/log.jsonl && sync $lib/log.jsonl && rm -f $lib/pending.json || failed=74 ;;
  *) # The timer was faster, and knew less.
    case $(tail -n 1 $lib/log.jsonl) in
    *"\"id\":\"$1\""*) { sed '$d' $lib/log.jsonl; printf '%s\n' "$record"; } >$lib/log.new && sync $lib/log.new && mv $lib/log.new $lib/log.jsonl ;;
    esac ;;
  esac
  clear_units
  finish_without_record
  return ${failed:-0}
}

# errors CURSOR: the errors in the journal since then, the last twenty.
errors() { journalctl -q -o cat -p err -n 20 --after-cursor="$1"; }

# append; stdin: a record. Writes down a deployment that never had the lock.
append() { umask 022; mkdir -p $lib && cat >>$lib/log.jsonl && sync $lib/log.jsonl; }

# close OUTCOME REASON: finishes the pending record where the one who deploys cannot.
close() {
  sed "s|\"outcome\":\"unfinished\",\"reason\":\"\"|\"outcome\":\"$1\",\"reason\":\"$2\"|" $lib/pending.json >>$lib/log.jsonl &&
    sync $lib/log.jsonl && rm -f $lib/pending.json
}

clear_units() {
  for unit in activate commit rollback; do
    systemctl stop ops-deploy-$unit.service; systemctl reset-failed ops-deploy-$unit.service
  done 2>/dev/null
}

finish_without_record() {
  rm -f $roots/ops-deploy
  rm -rf $run
  systemctl stop ops-deploy-lock.service 2>/dev/null
}

say() { printf '@%s %s\n' "$1" "$2"; }

"$@"
