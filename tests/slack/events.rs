//! The events as Slack words them.

use serde_json::{Value, json};

use super::{BOT, Message, TEAM};

fn channel_type(channel: &str) -> &'static str {
    if channel == super::GENERAL {
        "channel"
    } else {
        "group"
    }
}

/// Blocks of a plain text.
fn blocks(text: &str) -> Value {
    let section =
        json!({"type": "rich_text_section", "elements": [{"type": "text", "text": text}]});
    json!([{"type": "rich_text", "elements": [section]}])
}

/// The text that blocks hold.
pub(super) fn text_of(blocks: &str) -> String {
    fn collect(value: &Value, text: &mut String) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
            Value::Object(fields) => {
                if let Some(Value::String(part)) = fields.get("text") {
                    text.push_str(part);
                }
                fields
                    .values()
                    .filter(|value| value.is_array() || value.is_object())
                    .for_each(|value| collect(value, text));
            }
            _ => {}
        }
    }
    let mut text = String::new();
    collect(&serde_json::from_str(blocks).unwrap_or_default(), &mut text);
    text
}

/// A new message.
pub(super) fn message(message: &Message, subtype: Option<&str>) -> Value {
    let mut event = json!({
        "type": "message", "channel": message.channel, "user": message.user, "text": message.text, "ts": message.ts,
        "event_ts": message.ts, "channel_type": channel_type(&message.channel), "team": TEAM,
    });
    if message.user == BOT {
        event["bot_id"] = json!("B1");
        event["app_id"] = json!("A1");
        if message.file.is_none() {
            event["blocks"] = blocks(&message.text);
        }
    }
    if let Some(subtype) = subtype {
        event["subtype"] = json!(subtype);
    }
    if let Some(file) = &message.file {
        event["files"] = json!([file]);
        event["upload"] = json!(false);
    }
    event
}

/// A message as the history of its channel has it.
pub(super) fn in_history(message: &Message) -> Value {
    let mut told =
        json!({"type": "message", "user": message.user, "text": message.text, "ts": message.ts});
    if let Some(ts) = &message.edited {
        told["edited"] = json!({"ts": ts, "user": message.user});
    }
    if !message.reactions.is_empty() {
        told["reactions"] = message
            .reactions
            .iter()
            .map(|name| json!({"name": name, "count": 1}))
            .collect();
    }
    if let Some(file) = &message.file {
        told["files"] = json!([file]);
    }
    told
}

/// An edit.
pub(super) fn changed(before: &Message, after: &Message, ts: &str) -> Value {
    let told = |message: &Message| json!({"type": "message", "user": message.user, "text": message.text, "ts": message.ts, "blocks": blocks(&message.text), "team": TEAM});
    let mut now = told(after);
    now["edited"] = json!({"ts": ts, "user": after.user});
    json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "channel": after.channel, "channel_type": channel_type(&after.channel),
        "ts": ts, "event_ts": ts, "message": now, "previous_message": told(before),
    })
}

/// A deletion.
pub(super) fn deleted(message: &Message, ts: &str) -> Value {
    let before = json!({"type": "message", "user": message.user, "text": message.text, "ts": message.ts, "team": TEAM});
    json!({
        "type": "message", "subtype": "message_deleted", "hidden": true, "channel": message.channel, "channel_type": channel_type(&message.channel),
        "ts": ts, "event_ts": ts, "deleted_ts": message.ts, "previous_message": before,
    })
}

/// A reaction, or its removal.
pub(super) fn reaction(
    kind: &str,
    user: &str,
    channel: &str,
    ts: &str,
    name: &str,
    at: &str,
) -> Value {
    json!({"type": kind, "user": user, "reaction": name, "item_user": BOT, "item": {"type": "message", "channel": channel, "ts": ts}, "event_ts": at})
}

/// A file.
pub(super) fn file(id: &str, name: &str, size: usize, user: &str, plain: &str) -> Value {
    let url = format!("http://{plain}/files/{id}");
    json!({
        "id": id, "name": name, "title": name, "mimetype": "text/plain", "filetype": "text", "size": size, "user": user, "mode": "hosted",
        "is_external": false, "created": 1, "timestamp": 1, "url_private": url, "url_private_download": url, "permalink": url,
    })
}

/// The event that tells of an upload.
pub(super) fn file_created(id: &str, user: &str, at: &str) -> Value {
    json!({"type": "file_created", "file_id": id, "file": {"id": id}, "user_id": user, "event_ts": at})
}

/// An event in its envelope.
pub(super) fn envelope(number: u64, event: &Value) -> Value {
    json!({
        "type": "events_api", "envelope_id": format!("e{number}"), "accepts_response_payload": false, "retry_attempt": 0, "retry_reason": "",
        "payload": {"type": "event_callback", "team_id": TEAM, "api_app_id": "A1", "event_id": format!("Ev{number}"), "event_time": 1, "event": event},
    })
}
