#!/bin/bash
# ops-secrets beside sops, on the same files with the same command lines: medians of five runs, as a ratio.
set -euo pipefail

sops=$(find "$PWD/target/lab" -maxdepth 1 -name 'sops-*' -type f | head -n 1)
own=$OPS_BIN_DIR/ops-secrets
[ -x "$sops" ] || { echo "secrets: sops is missing: without Go it cannot be built" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME=$folder SOPS_AGE_KEY_FILE=$folder/keys.txt
age=$("$own" keygen -o keys.txt)

# median LIMIT COMMAND...: microseconds. A run that is cut off at LIMIT microseconds counts as that long.
median() {
    local limit=$1 from status; shift
    for _ in 1 2 3 4 5; do
        from=${EPOCHREALTIME/[.,]/}
        status=0
        timeout -s KILL "$((limit / 1000000)).$(printf %06d $((limit % 1000000)))" "$@" > out 2> complaints || status=$?
        [ "$status" = 0 ] || [ "$status" = 137 ] || { cat complaints >&2; return 1; }
        echo $((${EPOCHREALTIME/[.,]/} - from))
    done | sort -n | sed -n 3p
}

# compare NAME RATIO ARGUMENT...: sops must take at least RATIO times as long. It is not let run longer than half as much
# again, since some of its times grow with the square of the keys.
missed=0
compare() {
    local name=$1 wanted=$2 mine theirs; shift 2
    mine=$(median 60000000 "$own" "$@")
    theirs=$(median $((mine * wanted * 3 / 2)) "$sops" "$@")
    awk -v name="$name" -v wanted="$wanted" -v mine="$mine" -v theirs="$theirs" 'BEGIN {
        ratio = theirs / mine
        printf "secrets %-22s %s%6.1f times as fast as sops (at least %d)  %s\n", name,
            (ratio >= wanted * 1.49 ? ">" : " "), ratio, wanted, (ratio >= wanted ? "ok" : "MISSED")
        exit ratio < wanted
    }' || missed=1
}

for size in 1000:10 10000:20 50000:100; do
    keys=${size%:*} ratio=${size#*:}
    awk -v keys="$keys" 'BEGIN { for (i = 1; i <= keys; i++) printf "key%d: value %d\n", i, i }' > plain.yaml
    awk -v keys="$keys" 'BEGIN {
        for (i = 1; i <= keys; i++) printf "%s\t\"key%d\": \"value %d\"", (i > 1 ? ",\n" : "{\n"), i, i
        print "\n}"
    }' > plain.json
    for format in yaml json; do
        "$own" encrypt --age "$age" -o "sealed.$format" "plain.$format"
        "$own" decrypt "sealed.$format" | cmp - "plain.$format"
        compare "encrypt $format $keys" "$ratio" encrypt --age "$age" "plain.$format"
        compare "decrypt $format $keys" "$ratio" decrypt "sealed.$format"
    done
done
compare "extract yaml $keys" 200 decrypt --extract '["key25000"]' sealed.yaml
exit $missed
