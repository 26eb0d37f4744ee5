//! The conduwuit family by its replies, which differ in where a server tells its name.

use ops_tests::tool;

use crate::fake::{Act, Asked, Fake, Start, json, reply};

struct Family {
    name: &'static str,
    version: &'static str,
    /// The paths that it serves, and with what.
    serves: &'static [(&'static str, &'static str)],
    no_alias: &'static str,
    /// The path that told its name.
    told_by: &'static str,
}

fn fixture(name: &str) -> String {
    let path = format!(
        "{}/../ops-matrix/fixtures/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const VERSIONS: &str = "/_matrix/client/versions";
const VERSION: &str = "/_matrix/federation/v1/version";

const FAMILIES: [Family; 4] = [
    Family {
        name: "continuwuity",
        version: "26.8.0-alpha.1 (090732358)",
        serves: &[
            (VERSIONS, "continuwuity/versions.json"),
            (VERSION, "continuwuity/federation_version.json"),
        ],
        no_alias: "continuwuity/no_alias.json",
        told_by: VERSION,
    },
    // With federation switched off only its own route tells.
    Family {
        name: "continuwuity",
        version: "26.8.0-alpha.1 (090732358)",
        serves: &[
            (VERSIONS, "continuwuity/versions.json"),
            (
                "/_continuwuity/server_version",
                "continuwuity/server_version.json",
            ),
        ],
        no_alias: "continuwuity/no_alias.json",
        told_by: "/_continuwuity/server_version",
    },
    Family {
        name: "conduwuit",
        version: "0.5.0 (d8311a5)",
        serves: &[
            (VERSIONS, "conduwuit/versions.json"),
            (
                "/_conduwuit/server_version",
                "conduwuit/server_version.json",
            ),
        ],
        no_alias: "conduwuit/no_alias.json",
        told_by: "/_conduwuit/server_version",
    },
    Family {
        name: "Tuwunel",
        version: "1.9.0 (5b36691)",
        serves: &[
            (VERSIONS, "tuwunel/versions.json"),
            (VERSION, "tuwunel/federation_version.json"),
        ],
        no_alias: "tuwunel/no_alias.json",
        told_by: VERSIONS,
    },
];

impl Family {
    fn play(&'static self) -> Fake {
        Fake::start("127.0.0.1", Start::Plain, |asked: &Asked| {
            let served = self.serves.iter().find(|(path, _)| *path == asked.path);
            Act::Send(match served {
                Some((_, name)) => json(&fixture(name)),
                None if asked.path.contains("/directory/room/") => reply(
                    404,
                    "Content-Type: application/json",
                    &fixture(self.no_alias),
                ),
                None => reply(
                    403,
                    "Content-Type: application/json",
                    &fixture("continuwuity/federation_disabled.json"),
                ),
            })
        })
    }
}

#[test]
fn each_of_the_family_is_known_by_what_it_tells() {
    for family in &FAMILIES {
        let fake = family.play();
        let url = format!("http://{}", fake.address);
        let ran = tool("ops-matrix")
            .args(["versions", &url, "--json"])
            .run()
            .expect(0);
        let server = ran.json()[0]["data"]["server"].clone();
        assert_eq!(
            (server["name"].as_str(), server["version"].as_str()),
            (Some(family.name), Some(family.version)),
            "{}",
            ran.out()
        );
        let asked = fake.asked();
        let last = asked.last().map(|asked| asked.path.as_str());
        assert_eq!(last, Some(family.told_by), "{asked:?}");
        // Each of them answers 404 whatever went wrong, so a made-up alias proves nothing.
        let ran = tool("ops-matrix")
            .args(["outbound", "other.example", "--url", &url, "--json"])
            .args(["--host", "localhost"])
            .run()
            .expect(3);
        assert!(
            ran.out().contains("answers 404 to every failure"),
            "{}",
            ran.out()
        );
    }
}
