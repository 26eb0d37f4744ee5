#!/bin/bash
# ops-secrets beside sops, on the same files with the same command lines; beside the bare work of base64, AES-GCM and SHA-512
# on a big binary file; and beside itself, for many secrets of one file. Medians of five runs, as ratios of processor
# time; of sops with 50,000 keys, two runs.
#
# rops is not here: it knows none of these command lines, and needs the whole SDK of AWS to be built.
set -euo pipefail

sops=$(find "$PWD/target/lab" -maxdepth 1 -name 'sops-*' -type f | head -n 1)
own=$OPS_BIN_DIR/ops-secrets
raw=$OPS_BIN_DIR/examples/ops-raw
[ -x "$sops" ] || { echo "secrets: sops is missing: without Go it cannot be built" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME=$folder SOPS_AGE_KEY_FILE=$folder/keys.txt
age=$("$own" keygen -o keys.txt)
missed=0

# How often a command runs in one run of the measurement: short ones cost little more than what can be told apart.
repeat=1

# times RUNS LIMIT COMMAND...: what each run costs in milliseconds of processor time, sorted: what else the machine does
# changes little of that. A command that is cut off at LIMIT seconds counts as that long.
times() {
    local runs=$1 limit=$2 TIMEFORMAT='%3U %3S'; shift 2
    for _ in $(seq "$runs"); do
        # The shell itself tells on stderr what was cut off.
        { time for _ in $(seq "$repeat"); do once "$limit" "$@"; done; } 2>&1 | grep -E '^[0-9.]+ [0-9.]+$'
    done | awk '{ print ($1 + $2) * 1000 }' | sort -n | paste -sd ' '
}

exec 9>&2
once() {
    local status=0
    (ulimit -t "$1"; shift; exec "$@") < /dev/null > out 2> complaints || status=$?
    [ "$status" = 0 ] || [ "$status" = 137 ] || [ "$status" = 152 ] || { cat complaints >&9; exit 1; }
}

# judge NAME WANTED PEER MINE THEIRS: how many times as long the other takes, by the medians; in brackets, the least and the
# most that the runs would give.
judge() {
    awk -v name="$1" -v wanted="$2" -v peer="$3" -v mine="$4" -v theirs="$5" 'BEGIN {
        runs = split(mine, m, " "); others = split(theirs, t, " ")
        ratio = t[int((others + 1) / 2)] / m[int((runs + 1) / 2)]
        printf "secrets %-22s %7.1f times as fast as %s [%.1f to %.1f] (at least %s)  %s\n", name, ratio, peer,
            t[1] / m[runs], t[others] / m[1], wanted, (ratio >= wanted ? "ok" : "MISSED")
        exit ratio < wanted
    }' || missed=1
}

# compare NAME RATIO RUNS ARGUMENT...: sops must take at least RATIO times as long. It is not let run longer than half as much
# again, since some of its times grow with the square of the keys: a ratio as high as that may be higher.
compare() {
    local name=$1 wanted=$2 runs=$3 mine limit; shift 3
    mine=$(times 5 60 "$own" "$@")
    limit=$(awk -v mine="$mine" -v wanted="$wanted" -v repeat="$repeat" 'BEGIN { split(mine, m, " "); print int(m[3] / repeat * wanted * 1.5 / 1000) + 1 }')
    judge "$name" "$wanted" sops "$mine" "$(times "$runs" "$limit" "$sops" "$@")"
}

while read -r keys ratio runs repeat; do
    awk -v keys="$keys" 'BEGIN { for (i = 1; i <= keys; i++) printf "key%d: value %d\n", i, i }' > plain.yaml
    awk -v keys="$keys" 'BEGIN {
        for (i = 1; i <= keys; i++) printf "%s\t\"key%d\": \"value %d\"", (i > 1 ? ",\n" : "{\n"), i, i
        print "\n}"
    }' > plain.json
    for format in yaml json; do
        "$own" encrypt --age "$age" -o "sealed.$format" "plain.$format"
        "$own" decrypt "sealed.$format" | cmp - "plain.$format"
        compare "encrypt $format $keys" "$ratio" "$runs" encrypt --age "$age" "plain.$format"
        compare "decrypt $format $keys" "$ratio" "$runs" decrypt "sealed.$format"
    done
done << END
1000 10 5 10
10000 20 5 1
50000 100 2 1
END
repeat=1
compare "extract yaml 50000" 200 2 decrypt --extract '["key25000"]' sealed.yaml

# A binary file of 100 MB: at least half as fast as the bare work.
head -c 100000000 /dev/urandom > big
"$own" encrypt --age "$age" -o big.sealed big
"$own" decrypt big.sealed | cmp - big
"$raw" seal big > big.raw
"$raw" open big.raw | cmp - big
judge "encrypt binary 100 MB" 0.5 "the bare work" \
    "$(times 5 60 "$own" encrypt --age "$age" big)" "$(times 5 60 "$raw" seal big)"
judge "decrypt binary 100 MB" 0.5 "the bare work" \
    "$(times 5 60 "$own" decrypt big.sealed)" "$(times 5 60 "$raw" open big.raw)"

# peak COMMAND...: the most memory that a program has held, in KiB, while it waits for somebody to read its output.
mkfifo pipe
peak() {
    "$@" > pipe & local pid=$!
    exec 3< pipe
    head -c 1 <&3 > /dev/null
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$pid/status"
    cat <&3 > /dev/null
    exec 3<&-
    wait "$pid"
}
for verb in "encrypt --age $age big" "decrypt big.sealed"; do
    # The words are the verb and its arguments.
    # shellcheck disable=SC2086
    peak "$own" $verb | awk -v verb="${verb%% *}" '{
        times = $1 * 1024 / 100000000
        printf "secrets memory of %s: %.2f times the file of 100 MB (less than 3)  %s\n", verb, times, (times < 3 ? "ok" : "MISSED")
        exit times >= 3
    }' || missed=1
done

# 200 secrets of one file: at least 20 times as fast as decrypting it for each.
head -n 200 plain.yaml > some.yaml
"$own" encrypt --age "$age" -o some.sealed.yaml some.yaml
awk -v folder="$folder" 'BEGIN {
    printf "{\"secrets\": ["
    for (i = 1; i <= 200; i++)
        printf "%s{\"name\": \"s%d\", \"key\": \"key%d\", \"sopsFile\": \"%s/some.sealed.yaml\", \"format\": \"yaml\", \"mode\": \"0400\"}",
            (i > 1 ? ", " : ""), i, i, folder
    printf "], \"templates\": [], \"placeholderBySecretName\": {}, \"userMode\": true, \"keepGenerations\": 1,"
    printf "\"secretsMountPoint\": \"%s/secrets.d\", \"symlinkPath\": \"%s/secrets\", \"ageKeyFile\": \"%s/keys.txt\"}\n", folder, folder, folder
}' > manifest.json
# shellcheck disable=SC2317 # called through a name
each() {
    for number in $(seq 200); do
        "$1" decrypt --extract "[\"key$number\"]" some.sealed.yaml > "each.$number"
    done
}
export -f each
"$own" install manifest.json
for number in 1 100 200; do
    "$own" decrypt --extract "[\"key$number\"]" some.sealed.yaml | cmp - "secrets/s$number"
done
judge "install 200 secrets" 20 "200 decryptions" \
    "$(times 5 60 "$own" install manifest.json)" "$(times 5 60 bash -c "each '$own'")"
exit $missed
