//! `login`: the login of a Slack app, by its two tokens, through the bridge's provisioning API.

use ops_common::host::Host;
use ops_common::output::Record;
use serde::Serialize;
use serde_json::json;

use crate::configuration::Configuration;
use crate::error::Error;
use crate::http::escape;
use crate::probe;
use crate::provisioning::Provisioning;
use crate::settings::Settings;
use crate::tokens::Tokens;

/// Where the API takes the tokens.
const STEP: &str = "fi.mau.slack.login.enter_app_tokens";

/// A login that was made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Made {
    id: String,
    user: String,
}

impl Record for Made {
    const COLUMNS: &'static [&'static str] = &["id", "user"];
}

/// Logs `user` in; without one, the one Matrix user that the bridge's permissions name.
pub(crate) fn login(
    host: &Host,
    settings: &Settings,
    tokens: &Tokens,
    user: Option<&str>,
) -> Result<Made, Error> {
    let tokens = json!({"bot_token": tokens.get("bot_token")?.reveal(), "app_token": tokens.get("app_token")?.reveal()});
    let answer = probe::ask(host, settings, "configuration")?;
    let configuration = answer
        .configuration
        .map_err(|reason| unreadable(host, reason))?;
    let user = user
        .map(str::to_owned)
        .or_else(|| only_user(&configuration));
    let user = user.ok_or_else(|| {
        unreadable(
            host,
            "its permissions name no single user: give --user".to_owned(),
        )
    })?;
    let api = Provisioning::connect(host, &configuration)?;
    let query = format!("user_id={}", escape(&user));
    let path = |path: &str| format!("/_matrix/provision/v3/login/{path}?{query}");
    let started = api.call("POST", &path("start/app"), None)?;
    let process = started["login_id"].as_str().unwrap_or_default();
    let ended = api.call(
        "POST",
        &path(&format!("step/{}/{STEP}/user_input", escape(process))),
        Some(&tokens),
    )?;
    let id = ended["complete"]["user_login_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if id.is_empty() {
        let step = ended["type"].as_str().unwrap_or("nothing");
        return Err(Error::Answer {
            host: host.name().to_owned(),
            what: "the login",
            reason: format!("it wants '{step}' next"),
        });
    }
    Ok(Made { id, user })
}

fn unreadable(host: &Host, reason: String) -> Error {
    Error::Answer {
        host: host.name().to_owned(),
        what: "the bridge's configuration",
        reason,
    }
}

fn only_user(configuration: &Configuration) -> Option<String> {
    let mut users = configuration
        .bridge
        .permissions
        .keys()
        .filter_map(|key| key.as_str())
        .filter(|key| key.starts_with('@'));
    let first = users.next()?.to_owned();
    users.next().is_none().then_some(first)
}
