//! One WebSocket of Socket Mode.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::{Link, Order, Shared, events, http};

/// How often Slack pings.
const PING: Duration = Duration::from_secs(5);

/// How long to listen before looking for something to send.
const TURN: Duration = Duration::from_millis(5);

/// Whether a connection asks for a WebSocket, judged by its first bytes.
pub(super) fn is_wanted(stream: &TcpStream) -> bool {
    let mut start = [0; 9];
    stream.peek(&mut start).is_ok() && start == *b"GET /link"
}

/// Serves a socket to its end.
pub(super) fn serve(shared: &Arc<Shared>, mut stream: TcpStream) {
    if shared.state().link == Link::Refused {
        drop(http::answer(&mut stream, 500, &[], b""));
        return;
    }
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };
    let (orders, told) = mpsc::channel();
    let link = shared.state().link;
    if link != Link::Mute {
        let hello = json!({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}, "debug_info": {"host": "x"}});
        if socket.send(Message::text(hello.to_string())).is_err() {
            return;
        }
    }
    if socket.get_ref().set_read_timeout(Some(TURN)).is_err() {
        return;
    }
    let number = {
        let mut state = shared.state();
        state.number += 1;
        let number = state.number;
        state.sockets.push((number, orders));
        number
    };
    shared.changed.notify_all();
    talk(shared, &mut socket, &told);
    shared.state().sockets.retain(|(open, _)| *open != number);
    drop(socket.get_ref().shutdown(Shutdown::Both));
}

fn talk(shared: &Shared, socket: &mut WebSocket<TcpStream>, told: &Receiver<Order>) {
    let mut pinged = Instant::now();
    loop {
        let link = shared.state().link;
        if link == Link::Dead {
            // Nothing is sent or read; only the order to close is heard.
            match told.recv_timeout(PING) {
                Ok(Order::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                _ => continue,
            }
        }
        if pinged.elapsed() >= PING && link != Link::Pingless {
            pinged = Instant::now();
            if socket.send(Message::Ping(b"p".as_slice().into())).is_err() {
                return;
            }
        }
        if let Ok(order) = told.try_recv()
            && !obey(shared, socket, order, link)
        {
            return;
        }
        match socket.read() {
            Ok(Message::Text(text)) => acknowledge(shared, &text),
            Ok(Message::Close(_)) => return,
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn obey(shared: &Shared, socket: &mut WebSocket<TcpStream>, order: Order, link: Link) -> bool {
    match order {
        Order::Send(_) if link == Link::Mute => true,
        Order::Send(event) => {
            let number = {
                let mut state = shared.state();
                state.number += 1;
                state.number
            };
            socket
                .send(Message::text(events::envelope(number, &event).to_string()))
                .is_ok()
        }
        Order::Raw(text) => socket.send(Message::text(text)).is_ok(),
        Order::Close => false,
    }
}

fn acknowledge(shared: &Shared, text: &str) {
    let id = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|value| Some(value["envelope_id"].as_str()?.to_owned()));
    if let Some(id) = id {
        shared.state().acknowledged.push(id);
        shared.changed.notify_all();
    }
}
