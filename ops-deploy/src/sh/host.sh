# The part of a deployment that runs on the host. `sh -c THIS sh FUNCTION ARG...` calls one function; `begin` also leaves a
# copy in $run, which the transient units and the dead man's timer run.
#
# A call can outlive the line that it came over, and the one who deploys can sleep for an hour and then go on. So whoever
# changes something holds the flock (`alone`) and makes sure that the deployment under way is still its own (`mine`).
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/sbin:/sbin:/usr/bin:/bin
export PATH LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER= NIXOS_INSTALL_BOOTLOADER=0
run=/run/ops-deploy lib=/var/lib/ops-deploy profile=/nix/var/nix/profiles/system
roots=/nix/var/nix/gcroots
works="ops-deploy-activate.service ops-deploy-commit.service ops-deploy-rollback.service"
alone= waited=

# begin ID OWNER LOCK_S ARMED_S OLD PROFILE GENERATION NEW BYTES; stdin: the pending record in one line, then this text, which
# has BYTES. Takes the lock, makes sure that the host is still the one that was looked at, and arms the timer. Called again
# because the answer was lost, it goes on where it was.
begin() {
  id=$1 owner=$2 lock_s=$3 armed_s=$4 old=$5 was=$6 generation=$7 new=$8 bytes=$9
  look
  [ -z "$reverting" ] || { say reverting; exit 75; }
  [ -z "$lock" ] || holds "$id" || locked
  umask 022
  mkdir -p $run $roots && alone || exit 74
  [ -z "$waited" ] || look
  [ -e $run/begun ] && mine "$id" && return 0
  holds "$id" ||
    systemd-run --quiet --collect --unit=ops-deploy-lock --description="ops-deploy $id $owner" sleep "$lock_s" 2>/dev/null || locked
  if [ "$(readlink -e /run/current-system || readlink -e $profile)" != "$old" ] ||
    [ "$(readlink -e $profile)" != "$was" ]; then
    let_go
    say changed; exit 75
  fi
  [ -z "$left" ] || clear_units
  [ -e $lib/pending.json ] && ! mine "$id" && close interrupted "nobody finished it: the deploying process was lost"
  rm -f $run/*
  { IFS= read -r record && printf '%s\n' "$record" >$lib/pending.new && cat >$run/host.sh &&
    [ "$(wc -c <$run/host.sh)" -eq "$bytes" ] && root ops-deploy "$new" && { [ -z "$old" ] || root ops-deploy-old "$old"; } &&
    sync $lib/pending.new && mv $lib/pending.new $lib/pending.json; } ||
    { rm -f $lib/pending.new; let_go; exit 74; }
  [ -z "$old" ] ||
    systemd-run --quiet --collect --unit=ops-deploy-revert --on-active="${armed_s}s" --timer-property=AccuracySec=100ms \
      --setenv=PATH="$PATH" /bin/sh $run/host.sh expired "$id" "$old" "$was" "$generation" ||
    { rm -f $lib/pending.json; let_go; exit 69; }
  : >$run/begun
}

# begin_and_start, with the nine arguments of `begin` and those of `start`: both in one call.
begin_and_start() {
  begin "$@"
  say begun
  shift 9
  start "$@"
}

# start_and_sum_up SINCE, with the arguments of `start`: both in one call.
start_and_sum_up() {
  since=$1; shift
  start "$@"
  sum_up "$since"
}

# start ID UNIT LIMIT_S CURSOR COMMAND...: runs a command in a transient unit, without a pipe to anybody, and follows it. Called
# again because the line broke, it follows on from CURSOR.
start() {
  id=$1 unit=$2 limit_s=$3 cursor=$4; shift 4
  alone
  if ! { mine "$id" && [ -e $run/begun ]; } || { [ -e $run/reverted ] && [ "$unit" != ops-deploy-rollback ]; }; then
    say ended Result=over
    return
  fi
  if [ ! -e "$run/$unit" ]; then
    : >"$run/$unit"
    refused=$(systemd-run --quiet --unit="$unit" -p RemainAfterExit=yes -p RuntimeMaxSec="$limit_s" \
      -p TimeoutStopSec=10s --setenv=PATH="$PATH" --setenv=NIXOS_INSTALL_BOOTLOADER=0 "$@" 2>&1 9<&-) ||
      [ "$(systemctl show -P LoadState "$unit.service")" = loaded ] || {
      rm -f "$run/$unit"
      say refused "$(printf %s "$refused" | tr '\n' ' ')"
      say ended Result=not-started
      return
    }
  fi
  exec 9<&-
  follow "$unit" "$cursor"
}

# follow UNIT CURSOR: prints the journal of a unit until it has ended, then how it ended. It sleeps until the unit's process is
# gone: asking again and again would take time away from what it waits for.
follow() {
  unit=$1 cursor=$2 seen= late=0
  ask_about "$unit"
  while :; do
    [ -n "$ended" ] || { wait_for "$pid"; ask_about "$unit"; }
    case $ended in '' | *Result=success*) ;; *) journalctl --sync 2>/dev/null ;; esac
    batch=$(journalctl -q -o json --output-fields=MESSAGE ${cursor:+--after-cursor="$cursor"} --show-cursor \
      _SYSTEMD_INVOCATION_ID="$invocation" 2>/dev/null)
    [ -n "$batch" ] && {
      seen=1
      printf '%s\n' "$batch"
      case $batch in *'-- cursor: '*) cursor=${batch##*-- cursor: } ;; esac
    }
    # An activation that has failed has said why, but on a busy host that may still be on its way to the journal.
    case $ended/$seen in
    /*) ;;
    *Result=success*) echo well >"$run/$unit"; break ;;
    */1) break ;;
    *) [ "$unit" = ops-deploy-activate ] && [ $((late += 1)) -le 7 ] && sleep 0.2 || break ;;
    esac
  done
  say ended "$ended"
}

# wait_for PID: until that process is gone, but no longer than a second, so that what it says can be told.
wait_for() { if [ "$1" = 0 ]; then sleep 0.05; else timeout 1 tail --pid="$1" -s 0.01 -f /dev/null; fi; }

# ask_about UNIT: its process, its run, and into $ended how it has ended, if it has.
ask_about() {
  ended= pid=0 invocation=
  state=$(systemctl show -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,MainPID,InvocationID "$1.service")
  for property in $state; do
    case $property in
    MainPID=*) pid=${property#*=} ;;
    InvocationID=*) invocation=${property#*=} ;;
    SubState=exited | ActiveState=failed | ActiveState=inactive) ended=yes ;;
    esac
  done
  [ -z "$ended" ] || ended=$(echo $state)
}

# revert ID OLD PROFILE GENERATION: puts exactly this system and this generation back. Can be called again and again.
revert() {
  id=$1 old=$2 was=$3 generation=$4
  mkdir -p $run && alone
  mine "$id" || return 75
  [ -e $run/reverted ] && return "$(cat $run/reverted)"
  stop ops-deploy-activate.service ops-deploy-commit.service
  status=0
  default "$id" "$was" "$generation" || status=1
  "$old/bin/switch-to-configuration" test 9<&-; tested=$?
  [ $tested = 0 ] || [ $tested = 4 ] || status=$tested
  echo $status >$run/reverted
  sync
  return $status
}

# default ID PROFILE GENERATION: makes this system and this generation the ones that boot, if they are not. The boot loader may
# have been on its way to another one even if the profile is back: a new start of it does no harm.
default() {
  alone
  mine "$1" || return 75
  [ -n "$2" ] || return 0
  [ -e $lib/committing ] || [ "$(readlink -e $profile)" != "$2" ] || return 0
  committing && point "$2" "$3" && "$2/bin/switch-to-configuration" boot 9<&- && sync
}

# committing: from here on profile and boot loader may disagree, even after a power cut.
committing() { : >$lib/committing && sync $lib/committing; }

# point SYSTEM GENERATION: the profile points to this generation, or where it has none to this system.
point() {
  if [ -n "$2" ]; then nix-env -p $profile --switch-generation "$2" 9<&-; else nix-env -p $profile --set "$1" 9<&-; fi
}

# recover: cleans up after a deployment that nobody can finish any more, since its host went down. If that was while profile
# and boot loader were changed, both are made to be what the host has booted.
recover() {
  [ -e $lib/pending.json ] && alone && [ -e $lib/pending.json ] || return 0
  systemctl is-active -q ops-deploy-lock.service ops-deploy-revert.timer ops-deploy-revert.service && return 0
  runs=$(readlink -e /run/current-system) new=$(field '"new":"[^"]*') which=old
  [ "$runs" = "$new" ] && which=new
  if [ -e $lib/committing ] && [ -n "$runs" ]; then
    case $(readlink -e $profile) in
    "$runs") ;;
    "$new") point "$runs" "$(field '"old_generation":[0-9]*')" ;;
    *) point "$runs" ;;
    esac && "$(readlink -e $profile)/bin/switch-to-configuration" boot 9<&- && sync || return
  fi
  clear_units
  close interrupted "nobody finished it: the deploying process was lost; the $which system runs" && let_go
}

# field PATTERN: what the pending record has behind a key.
field() { grep -o "$1" $lib/pending.json | head -n 1 | sed 's/^"[a-z_]*":"\{0,1\}//'; }

# reboot ID: goes down, after an answer.
reboot() { mine "$1" || return 75; sync; systemctl --no-block reboot; }

# relock ID OWNER LOCK_S: takes the lock again after a reboot.
relock() { systemd-run --quiet --collect --unit=ops-deploy-lock --description="ops-deploy $1 $2" sleep "$3"; }

# expired ID OLD PROFILE GENERATION: what the timer does when nobody has said within the armed time that all is well.
expired() {
  alone
  mine "$1" || exit 0 # over, while this waited
  if [ -e $run/committed ]; then close deployed "kept; the deploying process was lost before it could say so"
  elif revert "$@"; then close rolled-back "not confirmed in time: the deploying process was lost"
  else close unknown "not confirmed in time, and putting the old system back failed with status $?"; fi
  clear_units
  let_go
}

# commit ID NEW: makes the running system the one that boots. From then on the timer no longer puts anything back.
commit() {
  alone
  mine "$1" && [ ! -e $run/reverted ] || return 3
  committing || return 1
  nix-env -p $profile --set "$2" 9<&- || return 1
  "$2/bin/switch-to-configuration" boot 9<&- || return 2
  sync
  : >$run/committed
}

# keep ID: the running system stays, but another one boots.
keep() { alone; mine "$1" && [ ! -e $run/reverted ] && : >$run/committed; }

# finish ID; stdin: the record. Writes down what happened, and lets go of the host.
finish() {
  IFS= read -r record || return 74
  alone
  if mine "$1"; then
    whole_lines && printf '%s\n' "$record" >>$lib/log.jsonl && sync $lib/log.jsonl && rm -f $lib/pending.json || failed=74
    clear_or_keep
    let_go ops-deploy-revert.timer ops-deploy-revert.service $well
    return ${failed:-0}
  fi
  # The timer was faster and knew less, or the answer to the first call was lost.
  case $(tail -n 1 $lib/log.jsonl) in
  '{"id":"'"$1"'",'*) { sed '$d' $lib/log.jsonl; printf '%s\n' "$record"; } >$lib/log.new && sync $lib/log.new && mv $lib/log.new $lib/log.jsonl ;;
  *) return 75 ;;
  esac
}

# told ID: the outcome of a deployment that the timer has ended, if it has.
told() {
  alone
  tail -n 1 $lib/log.jsonl | sed -n 's/^{"id":"'"$1"'",.*"outcome":"\([a-z-]*\)","reason":.*/\1/p'
}

# sum_up CURSOR: what the profile points to, whether a reboot is due, and the errors in the journal since then, the last twenty.
sum_up() {
  say link "$(readlink $profile)"
  [ ! -e /run/booted-system/kernel ] || [ /run/booted-system/kernel -ef /run/current-system/kernel ] || say kernel-differs
  [ -z "$1" ] || journalctl -q -o cat -p err -n 20 --after-cursor="$1" | sed 's/^/@error /'
}

# append; stdin: a record. Writes down a deployment that never had the lock.
append() {
  umask 022
  IFS= read -r record && alone && whole_lines && printf '%s\n' "$record" >>$lib/log.jsonl && sync $lib/log.jsonl
}

# close OUTCOME REASON: finishes the pending record where the one who deploys cannot.
close() {
  whole_lines &&
    sed "s|\"outcome\":\"unfinished\",\"reason\":\"\"|\"outcome\":\"$1\",\"reason\":\"$2\"|" $lib/pending.json >>$lib/log.jsonl &&
    sync $lib/log.jsonl && rm -f $lib/pending.json
}

# whole_lines: a line of the log that a power cut has left half is not continued.
whole_lines() { [ -z "$(tail -c 1 $lib/log.jsonl 2>/dev/null)" ] || echo >>$lib/log.jsonl; }

# alone: keeps all that changes something apart. Children must not inherit the lock: one may stay for ever.
alone() {
  [ -z "$alone" ] || return 0
  [ -d $lib ] || mkdir -p $lib
  exec 9<$lib || return
  flock -n 9 || { flock 9 && waited=yes; } && alone=yes
}

# mine ID: the deployment under way is this one.
mine() {
  case $(cat $lib/pending.json 2>/dev/null) in '{"id":"'"$1"'",'*) ;; *) return 1 ;; esac
}

# look: into $lock who holds it, if somebody does; into $reverting whether an old system is being put back; and into $left
# whether units of a deployment are there.
look() {
  lock= reverting= left=
  while IFS='=' read -r key value; do
    case $key in
    Id) unit=$value ;;
    ActiveState) active=$value ;;
    Description) description=$value ;;
    '')
      case $unit/$active in
      ops-deploy-lock.service/active) lock=$description ;;
      ops-deploy-revert.service/active) reverting=yes ;;
      ops-deploy-lock.service/* | ops-deploy-revert.service/* | */inactive) ;;
      *) left=yes ;;
      esac
      ;;
    esac
  done <<EOF
$(systemctl show -p Id,ActiveState,Description ops-deploy-lock.service ops-deploy-revert.service $works)

EOF
}

# holds ID: the lock is that of this deployment.
holds() { case $lock in "ops-deploy $1 "*) ;; *) return 1 ;; esac; }

locked() { [ -n "$lock" ] || look; say locked "$lock"; exit 75; }

root() { ln -sfn "$2" $roots/"$1"; }

# clear_units: ends what our units do, and forgets how they ended.
clear_units() { stop $works; }

# clear_or_keep: ends and forgets those of our units that have not ended well; the others, into $well, only have to go.
clear_or_keep() {
  well= unwell=
  for unit in $works; do
    how=$run/${unit%.service}
    [ ! -e "$how" ] || if read -r _ <"$how"; then well="$well $unit"; else unwell="$unwell $unit"; fi
  done
  [ -z "$unwell" ] || stop $unwell
}

stop() { { systemctl stop "$@"; systemctl reset-failed "$@"; } 2>/dev/null; }

# let_go [UNIT...]: removes all that was there for the deployment; at last the units go, and the lock.
let_go() {
  rm -rf $lib/committing $roots/ops-deploy $roots/ops-deploy-old $run
  systemctl stop "$@" ops-deploy-lock.service 2>/dev/null || : # gone with the boot that it was taken in
}

say() { printf '@%s %s\n' "$1" "$2"; }

"$@"
