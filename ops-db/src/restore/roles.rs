//! The roles that a backup speaks of, which a server without them has to be given first.

use std::collections::BTreeSet;

use crate::archive::Entry;
use crate::error::Error;
use crate::source::{Format, Opened, Source};
use crate::sql;

/// Owners, and everybody who was granted something, of an archive; plain SQL does not say in front what comes. Those that
/// every server has are left out.
pub fn roles(backup: &mut Opened) -> Result<BTreeSet<String>, Error> {
    let sources = match backup {
        Opened::One(source) => std::slice::from_mut(source),
        Opened::Directory(directory) => &mut directory.sources[..],
    };
    let is_archive = |source: &&mut Source| source.format == Format::Archive;
    let mut roles = BTreeSet::new();
    for source in sources.iter_mut().filter(is_archive) {
        for entry in source.contents()? {
            roles.extend(granted(&entry));
            roles.insert(entry.owner);
        }
    }
    roles.retain(|role| !role.is_empty() && role != "public" && !role.starts_with("pg_"));
    Ok(roles)
}

/// Where a reader of a statement stands.
enum Place {
    Elsewhere,
    BeforeRole,
    AfterRole,
}

/// The roles that stand in the statements of an entry: after TO, FROM and AUTHORIZATION, which without quotes are no names.
fn granted(entry: &Entry) -> Vec<String> {
    if let Some(rest) = entry.definition.strip_prefix("CREATE USER MAPPING FOR ") {
        return sql::name(rest).into_iter().map(|(role, _)| role).collect();
    }
    if !matches!(entry.kind.as_str(), "ACL" | "DEFAULT ACL" | "POLICY") {
        return Vec::new();
    }
    let (mut rest, mut place, mut found) =
        (entry.definition.as_str(), Place::Elsewhere, Vec::new());
    while let Some(first) = rest.chars().next() {
        let Some((word, after)) = sql::name(rest) else {
            // The condition of a policy comes last.
            if first == '(' && entry.kind == "POLICY" {
                break;
            }
            place = match (place, first) {
                (Place::AfterRole, ',') => Place::BeforeRole,
                (place, first) if first.is_whitespace() => place,
                _ => Place::Elsewhere,
            };
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let keyword = if first == '"' { "" } else { word.as_str() };
        place = match (place, keyword) {
            (_, "TO" | "FROM" | "AUTHORIZATION") | (Place::BeforeRole, "GROUP") => {
                Place::BeforeRole
            }
            (Place::BeforeRole, "PUBLIC") => Place::AfterRole,
            (Place::BeforeRole, _) => {
                found.push(word);
                Place::AfterRole
            }
            _ => Place::Elsewhere,
        };
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, definition: &str) -> Vec<String> {
        granted(&Entry {
            id: 1,
            kind: kind.to_owned(),
            schema: String::new(),
            name: String::new(),
            owner: String::new(),
            definition: definition.to_owned(),
            has_data: false,
            copied_into: None,
        })
    }

    #[test]
    fn whoever_was_granted_something_is_found() {
        for (kind, definition, expected) in [
            (
                "ACL",
                "REVOKE USAGE ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO app;\n",
                &["app"][..],
            ),
            (
                "ACL",
                "GRANT SELECT(\"TO\"),UPDATE(b) ON TABLE \"FROM\".\"TO x\" TO \"odd \"\"ro,le\" WITH GRANT OPTION;",
                &["odd \"ro,le"],
            ),
            (
                "ACL",
                "SET SESSION AUTHORIZATION \"PUBLIC\";\nGRANT ALL ON FUNCTION f(a text, b integer) TO reader;\nRESET SESSION AUTHORIZATION;\n",
                &["PUBLIC", "reader"],
            ),
            (
                "DEFAULT ACL",
                "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA s GRANT SELECT ON TABLES TO reader;",
                &["reader"],
            ),
            (
                "POLICY",
                "CREATE POLICY \"to\" ON public.t FOR SELECT TO app, \"b c\" USING ((EXTRACT(year FROM at) > 1));",
                &["app", "b c"],
            ),
            (
                "POLICY",
                "CREATE POLICY p ON public.t USING ((a = 1));",
                &[],
            ),
            ("ACL", "GRANT SELECT ON TABLE t TO GROUP old;", &["old"]),
            (
                "USER MAPPING",
                "CREATE USER MAPPING FOR \"o ne\" SERVER s OPTIONS (\n    \"user\" 'x'\n);\n",
                &["o ne"],
            ),
            ("VIEW", "CREATE VIEW v AS SELECT 1 FROM t;", &[]),
            ("ACL", "GRANT ALL ON TABLE t TO \"never ends", &[]),
        ] {
            assert_eq!(of(kind, definition), expected, "{definition}");
        }
    }
}
