//! `doctor`: is everything set up so that messages can flow and failures can be seen, and what to change where not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ops_common::check::{Check, State};
use ops_common::host::Host;

use crate::configuration::Configuration;
use crate::database::Database;
use crate::error::Error;
use crate::homeserver::{self, request, shown};
use crate::http::Request;
use crate::known::slack_error;
use crate::permissions;
use crate::probe::{self, Answer};
use crate::reader::Reader;
use crate::registration;
use crate::scopes;
use crate::settings::Settings;
use crate::slack_api::SlackApi;
use crate::tokens::Tokens;

/// The check that stands for all of them where the host cannot be asked.
pub(crate) const CHECK: &str = "bridge.config";

/// Examines a host, and the tokens of a file where one is given.
pub(crate) fn look(
    host: &Host,
    settings: &Settings,
    tokens: Option<&Tokens>,
) -> Result<Vec<Check>, Error> {
    let wanted = format!("{} registration", probe::ALL);
    let answer = probe::ask(host, settings, &wanted)?;
    let configuration = match &answer.configuration {
        Ok(configuration) => configuration,
        Err(reason) => {
            let check =
                Check::fail(CHECK, "", reason).fix("name the file in ops.yaml: bridge.config");
            return Ok(vec![check, schema(&answer.database)]);
        }
    };
    let mut checks = vec![
        placeholders(configuration),
        provisioning(configuration),
        auto_reconnect(configuration),
        log_level(configuration),
    ];
    checks.push(schema(&answer.database));
    checks.extend(registration::judge(&answer.registrations, configuration));
    checks.extend(permissions::look(host, &configuration.path));
    checks.extend(listeners(host, configuration));
    let to_homeserver = homeserver::to_homeserver(host, configuration);
    checks.push(to_homeserver.unwrap_or_else(|| {
        let message = "its address is not one of this host: not asked";
        Check::unknown(
            "bridge.to_homeserver",
            &configuration.homeserver.address,
            message,
        )
        .fix("ops-matrix status")
    }));
    checks.push(homeserver::to_bridge(host, configuration));
    checks.push(file_events(&answer));
    if let Some(tokens) = tokens {
        checks.extend(probe_tokens(host, tokens)?);
    }
    Ok(checks)
}

/// What makes the bridge end with 11, or start and fail later.
fn placeholders(configuration: &Configuration) -> Check {
    let permissions = &configuration.bridge.permissions;
    let somebody = permissions
        .keys()
        .filter_map(|key| key.as_str())
        .any(|key| key != "*" && !key.ends_with("example.com"));
    let template = &configuration.appservice.username_template;
    let wrong = [
        (
            !somebody,
            "bridge.permissions names nobody but '*' or the example's entries",
        ),
        (
            matches!(configuration.homeserver.domain.as_str(), "" | "example.com"),
            "homeserver.domain is not set",
        ),
        (
            configuration
                .homeserver
                .address
                .contains("example.localhost"),
            "homeserver.address is the example's",
        ),
        (
            !template.contains("{{"),
            "appservice.username_template has no placeholder",
        ),
        (
            is_placeholder(configuration.appservice.as_token.reveal()),
            "appservice.as_token is not set: generate the registration",
        ),
        (
            is_placeholder(configuration.appservice.hs_token.reveal()),
            "appservice.hs_token is not set: generate the registration",
        ),
        (
            configuration.database.kind.is_empty()
                || configuration.database.uri.reveal().is_empty(),
            "database.type or database.uri is not set",
        ),
    ];
    let wrong: Vec<_> = wrong
        .into_iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, words)| words)
        .collect();
    if wrong.is_empty() {
        return Check::ok(CHECK, &configuration.path, "nothing required is missing");
    }
    Check::fail(CHECK, &configuration.path, wrong.join("; ")).fix("ops-bridge explain 11")
}

fn is_placeholder(token: &str) -> bool {
    token.is_empty() || token.contains("This value is generated") || token == "generate"
}

fn provisioning(configuration: &Configuration) -> Check {
    match configuration.provisioning_secret() {
        Ok(_) => Check::ok("bridge.provisioning", "", "the provisioning API is on"),
        Err(reason) => Check::warn("bridge.provisioning", "", reason).fix("set provisioning.shared_secret to 16 characters or more: it alone tells the state at any log level"),
    }
}

fn auto_reconnect(configuration: &Configuration) -> Check {
    const NAME: &str = "bridge.auto_reconnect";
    let message = match (
        configuration.auto_reconnect(),
        configuration.retries_after(),
    ) {
        (None, _) => "a login that fails at start is never tried again",
        (Some(_), None) => {
            "the bridge ignores less than a minute: a login that fails at start is never tried again"
        }
        (_, Some(_)) => {
            let message =
                "a login that failed at start is tried again, once for each kind of failure";
            return Check::ok(NAME, "", message);
        }
    };
    Check::warn(NAME, "", message).fix("set bridge.unknown_error_auto_reconnect: 1m")
}

fn log_level(configuration: &Configuration) -> Check {
    let level = &configuration.logging.min_level;
    if configuration.logs_states() {
        return Check::ok(
            "bridge.log_level",
            level,
            "the states of the connection are logged",
        );
    }
    Check::warn(
        "bridge.log_level",
        level,
        "the states of the connection are not logged",
    )
    .fix("set logging.min_level: debug")
}

fn schema(database: &Result<Database, String>) -> Check {
    match database {
        Ok(database) => {
            let schema = &database.schema;
            let message = format!("{} version {}", schema.generation, schema.version);
            let status = if schema.generation == "legacy" {
                State::Warn
            } else {
                State::Ok
            };
            let check = Check::new(status, "bridge.schema", &schema.owner, message);
            if status == State::Ok {
                check
            } else {
                check.fix("migrate the database with the release before bridgev2")
            }
        }
        Err(reason) => Check::fail("bridge.schema", "", reason).fix("ops-db status"),
    }
}

/// Whether the bridge answers on each address that programs may take for its own. One of two is enough, but one of them in the
/// homeserver's registration and the other here is the classic mistake.
fn listeners(host: &Host, configuration: &Configuration) -> Vec<Check> {
    let (configured, port) = configuration.listener();
    let ask = |address: IpAddr| {
        let answers = request(host, address, port, &Request::get("/_matrix/mau/live"), "")
            .is_ok_and(|reply| reply.status == 200);
        let (name, subject) = ("bridge.listener", format!("{}:{port}", shown(address)));
        match (answers, address == configured) {
            (true, _) => Check::ok(name, subject, "the bridge answers"),
            (false, true) => Check::fail(
                name,
                subject,
                "the bridge does not answer where it is configured to",
            )
            .fix("ops-bridge status"),
            (false, false) => Check::ok(name, subject, "no answer, and none is configured"),
        }
    };
    let mut addresses = vec![configured];
    addresses.extend(
        [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .into_iter()
        .filter(|address| *address != configured),
    );
    addresses.into_iter().map(ask).collect()
}

/// Without the event `file_created` each file from Matrix holds its room for five seconds.
fn file_events(answer: &Answer) -> Check {
    const NAME: &str = "bridge.file_events";
    let journal = match &answer.journal {
        Ok(journal) => journal,
        Err(reason) => return Check::unknown(NAME, "", reason),
    };
    let mut reader = Reader::new(journal.as_slice());
    let mut missed = 0_u32;
    // Reading from memory does not fail.
    while let Ok(Some(line)) = reader.next() {
        missed += u32::from(line.message == "Timed out waiting for file_created event from Slack");
    }
    if missed == 0 {
        return Check::ok(
            NAME,
            "file_created",
            "no file waited in vain in the last hour",
        );
    }
    let message = format!("{missed} files waited 5 s for an event that did not come");
    Check::warn(NAME, "file_created", message)
        .value(f64::from(missed), "")
        .fix("add file_created to the bot events of the Slack app")
}

/// Whether Slack accepts each of the tokens, and what the bot's may do. Opening a connection makes a ticket and connects nobody.
fn probe_tokens(host: &Host, tokens: &Tokens) -> Result<Vec<Check>, Error> {
    let slack = SlackApi::connect(host)?;
    let mut checks = Vec::new();
    match tokens.get(BOT) {
        Ok(token) => {
            let said = slack.scopes(token)?;
            checks.push(of_token(BOT, said.as_ref().map(|_| ())));
            checks.extend(said.ok().map(|told| scopes::judge(told.as_deref())));
        }
        Err(_) => checks.push(not_there(BOT)),
    }
    checks.push(match tokens.get(APP) {
        Ok(token) => {
            let said = slack.call("apps.connections.open", token, &[])?;
            of_token(APP, said.as_ref().map(|_| ()))
        }
        Err(_) => not_there(APP),
    });
    Ok(checks)
}

/// The keys of the tokens in their file.
const BOT: &str = "bot_token";
const APP: &str = "app_token";

fn not_there(name: &str) -> Check {
    Check::unknown("bridge.token", name, "not in the file")
}

fn of_token(name: &str, said: Result<(), &String>) -> Check {
    let Err(code) = said else {
        return Check::ok("bridge.token", name, "Slack accepts it");
    };
    let (meaning, remedy) =
        slack_error(code).unwrap_or(("Slack does not accept it", "look into the app's settings"));
    Check::fail("bridge.token", name, format!("{code}: {meaning}")).fix(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_bridge_with_11_is_found_before() {
        let judge =
            |text: &str| placeholders(&Configuration::read(&format!("/c.yaml\n{text}")).unwrap());
        let good = "bridge: {permissions: {'@op:ex.org': admin}}\nhomeserver: {domain: ex.org, address: 'http://127.0.0.1:8008'}\nappservice: {as_token: a, hs_token: b}\ndatabase: {type: postgres, uri: x}\n";
        assert_eq!(judge(good).status, State::Ok);
        let everybody = judge(&good.replace("'@op:ex.org': admin", "'*': relay"));
        assert!(
            everybody.status == State::Fail && everybody.message.contains("bridge.permissions"),
            "{everybody:?}"
        );
        assert!(
            judge(&good.replace("as_token: a", "as_token: ''"))
                .message
                .contains("as_token")
        );
    }
}
