//! The methods of the Web API.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{self, Request};
use super::{
    APP_TOKEN, BOT, BOT_TOKEN, Fault, GENERAL, HUMAN, HUMAN_TOKEN, INCIDENTS, Shared, TEAM, events,
};

/// Serves one connection to its end.
pub(super) fn serve(shared: &Arc<Shared>, stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = http::read(&mut stream) {
        if !answer(shared, &request, stream.get_mut()) {
            return;
        }
    }
}

/// Answers one request. False to close the connection.
fn answer(shared: &Arc<Shared>, request: &Request, out: &mut impl Write) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    if let Some(id) = path.strip_prefix("/files/") {
        return download(shared, id, out);
    }
    if let Some(id) = path.strip_prefix("/upload/") {
        let content = multipart_content(&request.body);
        if let Some(file) = shared.state().files.get_mut(id) {
            file.1 = content;
        }
        return http::answer(out, 200, &[], b"OK").is_ok();
    }
    let method = path.strip_prefix("/api/").unwrap_or_default();
    let mut form = http::form(&request.body);
    if let Some(token) = request
        .headers
        .get("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
    {
        form.insert("token".to_owned(), token.to_owned());
    }
    let fault = note(shared, method);
    let (status, headers, reply): (u16, &[(&str, &str)], Value) = match fault {
        Some(Fault::Dropped) => return false,
        Some(Fault::Code(code)) => (200, &[], json!({"ok": false, "error": code})),
        Some(Fault::Status(status)) => (status, &[], json!({})),
        Some(Fault::Limited) => (429, &[("Retry-After", "30")], json!({})),
        Some(Fault::Late(delay)) => {
            thread::sleep(delay);
            (200, &[], reply(shared, method, &form))
        }
        None => (200, &[], reply(shared, method, &form)),
    };
    let mut headers = [&[("Content-Type", "application/json")], headers].concat();
    let scopes = shared.state().scopes.clone();
    if method == "auth.test" {
        headers.push(("X-OAuth-Scopes", &scopes));
    }
    http::answer(out, status, &headers, reply.to_string().as_bytes()).is_ok()
}

/// Writes a call down, and says how it shall fail.
fn note(shared: &Shared, method: &str) -> Option<Fault> {
    let mut state = shared.state();
    state.calls.push(method.to_owned());
    shared.changed.notify_all();
    state
        .faults
        .get_mut(method)
        .and_then(std::collections::VecDeque::pop_front)
}

fn reply(shared: &Arc<Shared>, method: &str, form: &HashMap<String, String>) -> Value {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let user_id = match (method == "apps.connections.open", field("token")) {
        (true, APP_TOKEN) | (false, BOT_TOKEN) => BOT,
        (false, HUMAN_TOKEN) => HUMAN,
        _ => return json!({"ok": false, "error": "invalid_auth"}),
    };
    let (channel, ts) = (field("channel"), field("ts"));
    match method {
        "auth.test" => {
            json!({"ok": true, "url": "https://acme.slack.com/", "team": "Acme", "user": "bridge", "team_id": TEAM, "user_id": BOT, "bot_id": "B1"})
        }
        "team.info" => {
            json!({"ok": true, "team": {"id": TEAM, "name": "Acme", "domain": "acme", "email_domain": "", "icon": {"image_default": true}}})
        }
        "users.info" => user(field("user")),
        "apps.connections.open" => {
            json!({"ok": true, "url": format!("ws://{}/link/?ticket=made-up-CANARY-3", shared.plain)})
        }
        "emoji.list" => json!({"ok": true, "emoji": {}}),
        "users.conversations" => {
            json!({"ok": true, "channels": [channel_facts(GENERAL), channel_facts(INCIDENTS)], "response_metadata": {"next_cursor": ""}})
        }
        "conversations.info" if channel == GENERAL || channel == INCIDENTS => {
            json!({"ok": true, "channel": channel_facts(channel)})
        }
        "conversations.info" => json!({"ok": false, "error": "channel_not_found"}),
        "conversations.members" => {
            json!({"ok": true, "members": [BOT, HUMAN], "response_metadata": {"next_cursor": ""}})
        }
        "conversations.history" => history(shared, channel),
        "chat.postMessage" => post(shared, channel, user_id, &text(form)),
        "chat.update" => change(shared, ts, &text(form)),
        "chat.delete" => remove(shared, ts),
        "reactions.add" | "reactions.remove" => react(shared, method, user_id, form),
        "files.getUploadURLExternal" => {
            let id = shared.keep_file(field("filename"), Vec::new());
            json!({"ok": true, "upload_url": format!("http://{}/upload/{id}", shared.plain), "file_id": id})
        }
        "files.completeUploadExternal" => complete(shared, user_id, form),
        "files.delete" => json!({"ok": true}),
        _ => json!({"ok": false, "error": "unknown_method"}),
    }
}

/// The text of a message, whichever way it was sent.
fn text(form: &HashMap<String, String>) -> String {
    match form.get("text").filter(|text| !text.is_empty()) {
        Some(text) => text.clone(),
        None => events::text_of(form.get("blocks").map_or("", String::as_str)),
    }
}

fn user(id: &str) -> Value {
    let name = match id {
        BOT => "bridge",
        HUMAN => "alice",
        _ => return json!({"ok": false, "error": "user_not_found"}),
    };
    let profile =
        json!({"real_name": name, "display_name": name, "image_512": "", "avatar_hash": ""});
    json!({"ok": true, "user": {"id": id, "team_id": TEAM, "name": name, "real_name": name, "is_bot": id == BOT, "updated": 1, "tz": "UTC", "profile": profile}})
}

fn channel_facts(id: &str) -> Value {
    let (name, is_private) = if id == GENERAL {
        ("general", false)
    } else {
        ("incidents", true)
    };
    json!({
        "id": id, "name": name, "is_channel": !is_private, "is_group": is_private, "is_private": is_private, "is_member": true, "num_members": 2, "creator": HUMAN,
        "topic": {"value": ""},
    })
}

/// The bot's own operations come back as events, a little later.
fn echo(shared: &Arc<Shared>, echoes: Vec<Value>) {
    let delay = shared.state().echo_delay;
    send_after(shared, delay, echoes);
}

fn send_after(shared: &Arc<Shared>, delay: Duration, echoes: Vec<Value>) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        thread::sleep(delay);
        for event in &echoes {
            shared.send(event);
        }
    });
}

fn history(shared: &Shared, channel: &str) -> Value {
    let state = shared.state();
    let messages: Vec<_> = state
        .messages
        .iter()
        .rev()
        .filter(|message| message.channel == channel)
        .take(20)
        .map(events::in_history)
        .collect();
    json!({"ok": true, "messages": messages, "has_more": false})
}

fn post(shared: &Arc<Shared>, channel: &str, user: &str, text: &str) -> Value {
    let message = shared.post(channel, user, text);
    let delay = {
        let mut state = shared.state();
        let human = (user == HUMAN).then(|| state.human_delays.pop_front());
        human.flatten().unwrap_or(state.echo_delay)
    };
    send_after(shared, delay, vec![events::message(&message, None)]);
    json!({"ok": true, "channel": channel, "ts": message.ts})
}

fn change(shared: &Arc<Shared>, ts: &str, text: &str) -> Value {
    let Some((before, after)) = shared.edit(ts, text) else {
        return json!({"ok": false, "error": "message_not_found"});
    };
    echo(
        shared,
        vec![events::changed(&before, &after, &shared.stamp())],
    );
    json!({"ok": true, "channel": after.channel, "ts": ts})
}

fn remove(shared: &Arc<Shared>, ts: &str) -> Value {
    let Some(message) = shared.delete(ts) else {
        return json!({"ok": false, "error": "message_not_found"});
    };
    echo(shared, vec![events::deleted(&message, &shared.stamp())]);
    json!({"ok": true, "channel": message.channel, "ts": ts})
}

fn react(shared: &Arc<Shared>, method: &str, user: &str, form: &HashMap<String, String>) -> Value {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let kind = if method == "reactions.add" {
        "reaction_added"
    } else {
        "reaction_removed"
    };
    if let Some(message) = shared
        .state()
        .messages
        .iter_mut()
        .find(|message| message.ts == field("timestamp"))
    {
        match kind {
            "reaction_added" => message.reactions.push(field("name").to_owned()),
            _ => message.reactions.retain(|name| name != field("name")),
        }
    }
    echo(
        shared,
        vec![events::reaction(
            kind,
            user,
            field("channel"),
            field("timestamp"),
            field("name"),
            &shared.stamp(),
        )],
    );
    json!({"ok": true})
}

fn complete(shared: &Arc<Shared>, user: &str, form: &HashMap<String, String>) -> Value {
    let listed: Value = form
        .get("files")
        .and_then(|files| serde_json::from_str(files).ok())
        .unwrap_or_default();
    let id = listed[0]["id"].as_str().unwrap_or_default().to_owned();
    let channel = form.get("channel_id").map_or(GENERAL, String::as_str);
    let Some((name, content)) = shared.state().files.get(&id).cloned() else {
        return json!({"ok": false, "error": "file_not_found"});
    };
    let file = events::file(&id, &name, content.len(), user, &shared.plain);
    let message = shared.post_with(channel, user, "", Some(file));
    echo(
        shared,
        vec![
            events::file_created(&id, user, &shared.stamp()),
            events::message(&message, Some("file_share")),
        ],
    );
    json!({"ok": true, "files": [{"id": id, "title": name}]})
}

fn download(shared: &Shared, id: &str, out: &mut impl Write) -> bool {
    match (note(shared, "download"), shared.state().files.get(id)) {
        (Some(Fault::Status(status)), _) => http::answer(out, status, &[], b"").is_ok(),
        (Some(Fault::Dropped), _) => false,
        (Some(_), _) => http::answer(
            out,
            200,
            &[("Content-Type", "text/html")],
            b"<!DOCTYPE html><html></html>",
        )
        .is_ok(),
        (None, Some((_, content))) => {
            http::answer(out, 200, &[("Content-Type", "text/plain")], content).is_ok()
        }
        (None, None) => http::answer(out, 404, &[], b"").is_ok(),
    }
}

/// What the one part of a form with a file holds.
fn multipart_content(body: &[u8]) -> Vec<u8> {
    let find = |bytes: &[u8], wanted: &[u8]| {
        bytes
            .windows(wanted.len())
            .position(|window| window == wanted)
    };
    let Some(start) = find(body, b"\r\n\r\n").map(|at| at + 4) else {
        return body.to_vec();
    };
    let boundary = &body[..find(body, b"\r\n").unwrap_or(0)];
    let end =
        find(&body[start..], &[b"\r\n", boundary].concat()).map_or(body.len(), |at| start + at);
    body[start..end].to_vec()
}
