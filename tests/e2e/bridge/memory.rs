//! What the length of a journal costs: time, and no memory. The tables of what waits, was lost or went wrong fill up early on.

use ops_tests::{command, tool};

/// Writes so many lines of a bridge that works, fails, loses its connection and is restarted, one a second; waits until they are
/// read, and tells the reader's peak of memory in KiB.
const SCRIPT: &str = r#"
mkfifo "$3/lines"
"$1" health --json - < "$3/lines" > "$3/told" &
reader=$!
exec 3> "$3/lines"
awk -v lines="$2" 'BEGIN {
    for (i = 0; i < lines; i++) {
        at = 1787130000 + i
        fields = ""; level = "debug"
        kind = i % 10
        if (i % 1000 == 500) { level = "info"; text = "Initializing bridge" }
        else if (i % 500 < 2) {
            text = "Sent new bridge state"
            fields = ",\\\"login_id\\\":\\\"T1-U1\\\",\\\"bridge_state\\\":{\\\"state_event\\\":\\\"" (i % 500 ? "CONNECTED" : "CONNECTING") "\\\"}"
        }
        else if (kind == 3) { text = "Sending message to Slack"; fields = ",\\\"event_id\\\":\\\"$" i "\\\"" }
        else if (kind == 4) { text = "Ignoring duplicate message"; fields = ",\\\"existing_mxid\\\":\\\"$" (i % 40 == 4 ? "" : i - 1) "\\\"" }
        else if (kind == 5) { text = "Sent message part to Matrix"; fields = ",\\\"action\\\":\\\"handle remote event\\\"" }
        else if (kind == 6) {
            level = "error"; text = "Failed to handle Matrix message"
            fields = ",\\\"event_id\\\":\\\"$" i "\\\",\\\"error\\\":\\\"made up " i % 1999 "\\\""
        }
        else text = "Request completed"
        printf "{\"MESSAGE\":\"{\\\"level\\\":\\\"%s\\\"%s,\\\"message\\\":\\\"%s\\\"}\",\"__REALTIME_TIMESTAMP\":\"%d000000\",\"_COMM\":\"mautrix-slack\"}\n",
            level, fields, text, at
    }
}' >&3
# What is left is in the pipe.
awk '/VmHWM/ { print $2 }' "/proc/$reader/status"
exec 3>&-
wait "$reader"
[ $? -le 1 ] && grep -c '"check"' "$3/told" >&2
"#;

/// The peak of memory over so many lines.
fn peak(lines: u64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let program = ops_tests::bin_dir().join("ops-bridge");
    let ran = command("bash")
        .args(["-c", SCRIPT, "bash"])
        .arg(&program)
        .arg(lines.to_string())
        .arg(folder.path())
        .run()
        .expect(0);
    assert!(
        ran.err()
            .trim()
            .parse::<u64>()
            .is_ok_and(|checks| checks > 10),
        "it was read and judged: {ran}"
    );
    ran.out().trim().parse().expect("a number of KiB")
}

#[test]
fn memory_does_not_grow_with_the_journal() {
    // The tool is there at all, whatever it is asked.
    tool("ops-bridge").args(["--version"]).run().expect(0);
    let (some, many) = (peak(100_000), peak(500_000));
    assert!(
        many <= some + 1024,
        "{some} KiB for 100,000 lines, {many} KiB for 500,000"
    );
}
