//! The JSON documents of the Matrix APIs: what they must hold, and what is wrong when they do not.

use serde_json::{Map, Value};
use url::Url;

use crate::name::{NameError, ServerName};

/// Why a body is not the document that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No byte at all.
    #[error("the body is empty")]
    Empty,
    /// A page for people, from a proxy or a catch-all.
    #[error("the body is HTML, not JSON")]
    Html,
    /// Neither.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but a list, a string or a number.
    #[error("the body is JSON, but not an object")]
    NotObject,
    /// A member that has to be there is not, or has another type.
    #[error("'{0}' is missing or of another type")]
    Member(&'static str),
    /// `m.server` is not a server name.
    #[error("m.server '{text}' is no server name: {source}")]
    Delegation {
        /// What it says.
        text: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A member that has to be an http or https URL.
    #[error("{member} '{text}' is no http or https URL")]
    NotUrl {
        /// Which member.
        member: &'static str,
        /// What it says.
        text: String,
    },
}

/// Reads a body that must be a JSON object.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, DocumentError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(DocumentError::NotObject),
        Err(_) => Err(match body.trim_ascii_start() {
            [] => DocumentError::Empty,
            [b'<', ..] => DocumentError::Html,
            _ => DocumentError::NotJson,
        }),
    }
}

/// The error code of the standard error object, if the body is one.
#[must_use]
pub fn error_code(body: &[u8]) -> Option<String> {
    let code = object(body).ok()?.get("errcode")?.as_str()?.to_owned();
    Some(code)
}

/// The `error` text of the standard error object, if the body is one.
#[must_use]
pub fn error_text(body: &[u8]) -> Option<String> {
    Some(object(body).ok()?.get("error")?.as_str()?.to_owned())
}

/// Whether a reply says that federation is switched off, which is not the same as down.
#[must_use]
pub fn federation_disabled(status: u16, body: &[u8]) -> bool {
    status == 403
        && error_code(body).as_deref() == Some("M_FORBIDDEN")
        && error_text(body)
            .is_some_and(|text| text.to_lowercase().contains("federation is disabled"))
}

/// What `/_matrix/client/versions` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The versions of the specification, in the server's order.
    pub versions: Vec<String>,
    /// The unstable features that are on.
    pub features: Vec<String>,
    /// Name and version of the server, where it tells (MSC4383).
    pub server: Option<Software>,
}

/// What a server says it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Software {
    /// The program.
    pub name: String,
    /// Its version, as it writes it.
    pub version: String,
}

/// Reads the reply of `/_matrix/client/versions`.
pub fn versions(body: &[u8]) -> Result<Versions, DocumentError> {
    let object = object(body)?;
    let listed = object
        .get("versions")
        .and_then(Value::as_array)
        .ok_or(DocumentError::Member("versions"))?;
    let versions: Option<Vec<String>> = listed
        .iter()
        .map(|one| one.as_str().map(str::to_owned))
        .collect();
    let versions = versions
        .filter(|all| !all.is_empty())
        .ok_or(DocumentError::Member("versions"))?;
    let features = object.get("unstable_features").and_then(Value::as_object);
    let on = |(name, value): (&String, &Value)| (value == &Value::Bool(true)).then(|| name.clone());
    let features = features.into_iter().flatten().filter_map(on).collect();
    Ok(Versions {
        versions,
        features,
        server: object.get("server").and_then(software),
    })
}

/// Reads the reply of `/_matrix/federation/v1/version`.
pub fn federation_version(body: &[u8]) -> Result<Software, DocumentError> {
    object(body)?
        .get("server")
        .and_then(software)
        .ok_or(DocumentError::Member("server"))
}

/// Reads the reply of the family's own `server_version` route.
pub fn server_version(body: &[u8]) -> Result<Software, DocumentError> {
    software(&Value::Object(object(body)?)).ok_or(DocumentError::Member("name"))
}

fn software(value: &Value) -> Option<Software> {
    let text = |member| Some(value.get(member)?.as_str()?.to_owned());
    Some(Software {
        name: text("name")?,
        version: text("version").unwrap_or_default(),
    })
}

/// Reads `/.well-known/matrix/server`: the name that is delegated to.
pub fn delegation(body: &[u8]) -> Result<ServerName, DocumentError> {
    let object = object(body)?;
    let text = object
        .get("m.server")
        .and_then(Value::as_str)
        .ok_or(DocumentError::Member("m.server"))?;
    text.parse().map_err(|source| DocumentError::Delegation {
        text: text.to_owned(),
        source,
    })
}

/// What `/.well-known/matrix/client` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientWellKnown {
    /// Where the client API is, without a slash at the end.
    pub base_url: String,
    /// Things that work, but are worth a word.
    pub remarks: Vec<&'static str>,
}

/// Reads `/.well-known/matrix/client`.
pub fn client_well_known(body: &[u8]) -> Result<ClientWellKnown, DocumentError> {
    let object = object(body)?;
    let base = url_member(&object, "m.homeserver", "m.homeserver.base_url")?;
    let base = base.ok_or(DocumentError::Member("m.homeserver.base_url"))?;
    url_member(&object, "m.identity_server", "m.identity_server.base_url")?;
    let mut remarks = Vec::new();
    if object.contains_key("org.matrix.msc3575.proxy") {
        remarks.push("org.matrix.msc3575.proxy is obsolete: no client asks for it any more");
    }
    Ok(ClientWellKnown {
        base_url: base.trim_end_matches('/').to_owned(),
        remarks,
    })
}

fn url_member(
    object: &Map<String, Value>,
    outer: &str,
    path: &'static str,
) -> Result<Option<String>, DocumentError> {
    let Some(section) = object.get(outer) else {
        return Ok(None);
    };
    let text = section
        .get("base_url")
        .and_then(Value::as_str)
        .ok_or(DocumentError::Member(path))?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(DocumentError::NotUrl {
            member: path,
            text: text.to_owned(),
        }),
    }
}

/// Reads `/.well-known/matrix/support`: one line per contact or page.
pub fn support(body: &[u8]) -> Result<Vec<String>, DocumentError> {
    let object = object(body)?;
    let mut found = Vec::new();
    for contact in object
        .get("contacts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |member| contact.get(member).and_then(Value::as_str);
        let reach = text("matrix_id").or_else(|| text("email_address"));
        let reach = reach.ok_or(DocumentError::Member(
            "contacts[].matrix_id or email_address",
        ))?;
        let role = text("role").ok_or(DocumentError::Member("contacts[].role"))?;
        found.push(format!("{role} {reach}"));
    }
    if let Some(page) = object.get("support_page").and_then(Value::as_str) {
        found.push(format!("page {page}"));
    }
    if found.is_empty() {
        Err(DocumentError::Member("contacts or support_page"))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn the_replies_of_a_real_continuwuity_are_read() {
        let versions = versions(&fixture("continuwuity/versions.json")).expect("versions");
        assert_eq!((versions.versions.len(), versions.features.len()), (22, 5));
        assert_eq!(versions.server, None);
        let expected = Software {
            name: "continuwuity".into(),
            version: "26.8.0-alpha.1 (090732358)".into(),
        };
        assert_eq!(
            federation_version(&fixture("continuwuity/federation_version.json")).as_ref(),
            Ok(&expected)
        );
        assert_eq!(
            server_version(&fixture("continuwuity/server_version.json")),
            Ok(expected)
        );
        let server =
            delegation(&fixture("continuwuity/well_known_server.json")).expect("delegation");
        assert_eq!(server.as_str(), "matrix.clarun.test:443");
        let client =
            client_well_known(&fixture("continuwuity/well_known_client.json")).expect("client");
        assert_eq!(client.base_url, "https://matrix.clarun.test");
        assert_eq!(
            support(&fixture("continuwuity/well_known_support.json")),
            Ok(vec!["m.role.admin @admin:clarun.test".to_owned()])
        );
        assert!(federation_disabled(
            403,
            &fixture("continuwuity/federation_disabled.json")
        ));
        assert!(!federation_disabled(
            403,
            br#"{"errcode":"M_FORBIDDEN","error":"no"}"#
        ));
    }

    #[test]
    fn tuwunel_tells_its_name_in_versions() {
        let versions = versions(&fixture("tuwunel/versions.json")).expect("versions");
        assert_eq!(
            versions.server.map(|server| server.name).as_deref(),
            Some("Tuwunel")
        );
    }

    #[test]
    fn bodies_that_are_no_object_are_told_apart() {
        assert_eq!(object(b" "), Err(DocumentError::Empty));
        assert_eq!(object(b"\n <!doctype html>"), Err(DocumentError::Html));
        assert_eq!(object(b"ok"), Err(DocumentError::NotJson));
        assert_eq!(object(b"{\"a\":"), Err(DocumentError::NotJson));
        assert_eq!(object(b"[1]"), Err(DocumentError::NotObject));
    }

    #[test]
    fn versions_must_be_a_list_of_texts() {
        for body in [
            r"{}",
            r#"{"versions":"v1.1"}"#,
            r#"{"versions":[1]}"#,
            r#"{"versions":[]}"#,
        ] {
            assert_eq!(
                versions(body.as_bytes()),
                Err(DocumentError::Member("versions")),
                "{body}"
            );
        }
        assert_eq!(
            versions(
                br#"{"versions":["v1.1"],"unstable_features":{"a":true,"b":false,"c":"yes"}}"#
            )
            .expect("versions")
            .features,
            ["a"]
        );
    }

    #[test]
    fn a_delegation_must_be_a_server_name() {
        assert_eq!(
            delegation(br#"{"m.server":7}"#),
            Err(DocumentError::Member("m.server"))
        );
        let refused = delegation(br#"{"m.server":"https://chat.example"}"#);
        assert!(
            matches!(refused, Err(DocumentError::Delegation { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_client_well_known_must_have_a_url() {
        let missing = DocumentError::Member("m.homeserver.base_url");
        assert_eq!(client_well_known(b"{}"), Err(missing.clone()));
        assert_eq!(client_well_known(br#"{"m.homeserver":{}}"#), Err(missing));
        for text in ["chat.example", "ftp://chat.example", "https://"] {
            let body = format!(r#"{{"m.homeserver":{{"base_url":"{text}"}}}}"#);
            let refused = client_well_known(body.as_bytes());
            assert!(
                matches!(refused, Err(DocumentError::NotUrl { .. })),
                "{text}: {refused:?}"
            );
        }
        let old = br#"{"m.homeserver":{"base_url":"https://chat.example"},"org.matrix.msc3575.proxy":{}}"#;
        assert_eq!(client_well_known(old).expect("client").remarks.len(), 1);
    }

    #[test]
    fn support_needs_someone_to_reach() {
        assert!(support(br#"{"contacts":[]}"#).is_err());
        assert!(support(br#"{"contacts":[{"role":"m.role.admin"}]}"#).is_err());
        assert_eq!(
            support(br#"{"support_page":"https://chat.example/help"}"#)
                .expect("page")
                .len(),
            1
        );
    }
}
