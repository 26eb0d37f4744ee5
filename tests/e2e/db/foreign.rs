//! Archives that somebody else's `pg_dump` has made, with nothing beside them.

use std::fs;

use ops_tests::{Lab, skip, tool};

use crate::scene::{drill, psql, shaped, verify};

#[test]
fn an_archive_of_any_compression_is_proven_restored_and_drilled() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let host = shaped(lab, "db-foreign");
    // Roles that only the archive knows of: of an owner, of a grant, of a default, of a policy.
    psql(
        &host,
        "mautrix_slack",
        "CREATE ROLE \"own er\"; CREATE ROLE reader; CREATE ROLE heir; CREATE ROLE guest;
         CREATE TABLE big AS SELECT i, md5(i::text) AS v FROM generate_series(1, 50000) i; ALTER TABLE big OWNER TO \"own er\";
         GRANT SELECT (v) ON big TO reader; ALTER DEFAULT PRIVILEGES FOR ROLE \"own er\" GRANT SELECT ON TABLES TO heir;
         CREATE POLICY guests ON big TO guest USING (i > 0); ALTER TABLE big ENABLE ROW LEVEL SECURITY",
    );
    let folder = tempfile::tempdir().unwrap();
    let kinds = ["gzip", "zstd", "lz4", "zstd:long"];
    let archives = kinds.map(|kind| {
        let dump = format!("runuser -u postgres -- pg_dump -Fc --compress={kind} mautrix_slack");
        let archive = folder.path().join(format!("{kind}.dump"));
        fs::write(&archive, host.sh(&dump).expect(0).stdout).unwrap();
        archive
    });
    for (number, archive) in archives.iter().enumerate() {
        // Without a seal what is whole need not be true, and the status says so; a truncation is seen.
        let judged = verify(archive, &[]).expect(3);
        let is_opaque = judged.out().contains("what LZ4 holds was not looked into");
        assert_eq!(is_opaque, kinds[number] == "lz4", "{}", judged.out());
        let whole = fs::read(archive).unwrap();
        let short = folder.path().join("short.dump");
        for missing in [1, 3, whole.len() / 3, whole.len() / 2] {
            fs::write(&short, &whole[..whole.len() - missing]).unwrap();
            verify(&short, &[]).expect(65);
        }
        let database = format!("again_{number}");
        let restored = tool("ops-db")
            .arg("restore")
            .arg(archive)
            .args([&database, "--host", "db-foreign", "--json"])
            .run()
            .expect(0);
        // What is inside LZ4 is not looked into, so it is the comparison below that tells.
        let counted = if kinds[number].starts_with("lz4") {
            0
        } else {
            50_023
        };
        assert_eq!(restored.json()[0]["rows"], counted, "{}", kinds[number]);
        let sum = "SELECT count(*), md5(string_agg(v, ',' ORDER BY i)) FROM big";
        assert_eq!(
            psql(&host, &database, sum),
            psql(&host, "mautrix_slack", sum)
        );
        psql(&host, "postgres", &format!("DROP DATABASE {database}"));
    }
    for archive in [&archives[1], &archives[2]] {
        let drilled = drill(&host, archive, &[]);
        assert!(drilled.expect(0).out().contains("restored"));
    }
}
