//! However much there is, the memory is the same: the kernel's own mark of the most that a program ever had.

use ops_tests::{Lab, LabHost, skip};

use crate::scene::{psql, with_tool};

/// What is promised, in KiB. A build without optimisation has the same buffers, so it has to keep to the same.
const MOST: u64 = 64 << 10;

/// Runs the words and prints the most memory that one of them ever had, in KiB. Python itself has about 10 MiB.
const MEASURE: &str = "import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=open('/srv/out', 'wb'))
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

/// The peak of a command of the host, which has to succeed.
fn peak(host: &LabHost, words: &str) -> u64 {
    let ran = host.sh(&format!("python3 -c \"{MEASURE}\" {words}"));
    let ran = ran.expect(0);
    let said = ran.out();
    let (ended, kib) = said.trim().split_once(' ').unwrap();
    assert_eq!(ended, "0", "{words}: {}", ran.err());
    kib.parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_data() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = with_tool(lab, "db-memory");
    psql(
        &host,
        "mautrix_slack",
        "CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 150000) i",
    );
    let size = psql(
        &host,
        "mautrix_slack",
        "SELECT sum(octet_length(t)) >> 20 FROM wide",
    );
    assert_eq!(size, "137");
    host.sh("mkdir /srv/backups").expect(0);
    for words in [
        "ops-db backup mautrix_slack -o /srv/backups/",
        "sh -c 'exec ops-db verify /srv/backups/*.zst'",
        "ops-db query mautrix_slack 'TABLE wide'",
        "ops-db query mautrix_slack 'TABLE wide' --format json",
    ] {
        let kib = peak(&host, words);
        assert!(kib < MOST, "{words}: {kib} KiB");
    }
}
