//! What the bot's token of the Slack app may do, against what the bridge does with it.

use ops_common::check::{Check, State};

/// The name of the check.
const CHECK: &str = "bridge.scopes";

/// Without these nothing flows: the login does not start, no event comes, or nothing can be sent.
const ESSENTIAL: [&str; 5] = [
    "channels:history",
    "channels:read",
    "chat:write",
    "team:read",
    "users:read",
];

/// Without each of these something that the bridge can do fails in silence. As the manifest of mautrix-slack v26.07 has them.
const WANTED: [&str; 26] = [
    "channels:write.invites",
    "channels:write.topic",
    "chat:write.customize",
    "conversations.connect:write",
    "emoji:read",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "groups:write",
    "groups:write.invites",
    "groups:write.topic",
    "im:history",
    "im:read",
    "im:write",
    "im:write.topic",
    "mpim:history",
    "mpim:read",
    "mpim:write",
    "mpim:write.topic",
    "pins:read",
    "pins:write",
    "reactions:read",
    "reactions:write",
    "users.profile:read",
    "users:read.email",
];

/// Judges the scopes as Slack tells them: `chat:write,files:read`.
pub(crate) fn judge(told: Option<&str>) -> Check {
    let subject = "bot_token";
    let Some(told) = told else {
        return Check::unknown(CHECK, subject, "Slack does not tell them");
    };
    let granted: Vec<_> = told.split(',').map(str::trim).collect();
    let missing = |wanted: &[&'static str]| -> Vec<&'static str> {
        let lacks = |scope: &&&str| !granted.contains(*scope);
        wanted.iter().filter(lacks).copied().collect()
    };
    let (essential, wanted) = (missing(&ESSENTIAL), missing(&WANTED));
    let status = match (essential.is_empty(), wanted.is_empty()) {
        (true, true) => {
            return Check::ok(
                CHECK,
                subject,
                "the app has every scope that the bridge uses",
            );
        }
        (true, false) => State::Warn,
        (false, _) => State::Fail,
    };
    let missing = [essential, wanted].concat();
    let message = format!("missing: {}", missing.join(", "));
    Check::new(status, CHECK, subject, message)
        .fix("add them to the bot scopes of the Slack app, and install it again")
        .data(serde_json::json!({ "missing": missing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_weighed() {
        let all = [&ESSENTIAL[..], &WANTED[..]].concat();
        let without = |scopes: &[&str]| {
            let kept: Vec<_> = all
                .iter()
                .copied()
                .filter(|scope| !scopes.contains(scope))
                .collect();
            judge(Some(&kept.join(",")))
        };
        assert_eq!(without(&[]).status, State::Ok);
        assert_eq!(judge(Some(&all.join(", "))).status, State::Ok);
        let few = without(&["files:write", "reactions:read"]);
        assert_eq!(
            (few.status, &*few.message),
            (State::Warn, "missing: files:write, reactions:read")
        );
        // One scope is not the beginning of another.
        let sending = without(&["chat:write"]);
        assert_eq!(
            (sending.status, &*sending.message),
            (State::Fail, "missing: chat:write")
        );
        assert_eq!(judge(Some("")).status, State::Fail);
        assert_eq!(judge(None).status, State::Unknown);
    }
}
