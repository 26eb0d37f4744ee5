//! A stand-in for Slack: its Web API over TLS as `slack.com`, and Socket Mode, as far as a bridge uses them. What it was
//! asked is written down with times; every fault can be switched on and off while it runs.
//!
//! | file | what is in it |
//! |---|---|
//! | `http.rs` | requests in, answers out |
//! | `api.rs` | the methods of the Web API, and files |
//! | `socket.rs` | one WebSocket: hello, events, acknowledgements, pings |
//! | `events.rs` | the events as Slack words them |
//! | `faults.rs` | what can go wrong |

mod api;
mod events;
mod faults;
mod http;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ops_tests::{Address, Lab, LabHost, tree};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

pub(crate) use faults::{Fault, Link};

/// The workspace, its bot and its one human.
pub(crate) const TEAM: &str = "T1";
pub(crate) const BOT: &str = "U1";
pub(crate) const HUMAN: &str = "U2";
/// A public and a private channel.
pub(crate) const GENERAL: &str = "C1";
pub(crate) const INCIDENTS: &str = "C2";
pub(crate) const BOT_TOKEN: &str = "xoxb-made-up-CANARY-1";
/// The token of the human.
pub(crate) const HUMAN_TOKEN: &str = "xoxp-made-up-CANARY-4";
pub(crate) const APP_TOKEN: &str = "xapp-made-up-CANARY-2";

/// The scopes of an app that was made from the bridge's manifest.
pub(crate) const SCOPES: &str = "channels:history,channels:read,channels:write.invites,channels:write.topic,chat:write,\
    chat:write.customize,conversations.connect:write,emoji:read,files:read,files:write,groups:history,groups:read,groups:write,\
    groups:write.invites,groups:write.topic,im:history,im:read,im:write,im:write.topic,mpim:history,mpim:read,mpim:write,\
    mpim:write.topic,pins:read,pins:write,reactions:read,reactions:write,team:read,users:read,users.profile:read,users:read.email";

/// How long anything that a test waits for may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running stand-in.
pub(crate) struct Slack {
    shared: Arc<Shared>,
    listeners: Vec<(SocketAddr, JoinHandle<()>)>,
    address: Address,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    /// Where WebSockets, uploads and downloads are: `ADDRESS:PORT`.
    plain: String,
}

#[derive(Default)]
struct State {
    /// The methods of the Web API that were called, in their order.
    calls: Vec<String>,
    acknowledged: Vec<String>,
    faults: HashMap<String, VecDeque<Fault>>,
    link: Link,
    sockets: Vec<(u64, Sender<Order>)>,
    messages: Vec<Message>,
    files: HashMap<String, (String, Vec<u8>)>,
    number: u64,
    echo_delay: Duration,
    /// How late the events of the human's next posts over the Web API come.
    human_delays: VecDeque<Duration>,
    /// What the bot's token may do, as a header of `auth.test` tells it.
    scopes: String,
}

#[derive(Clone, Debug)]
struct Message {
    channel: String,
    user: String,
    ts: String,
    text: String,
    edited: Option<String>,
    reactions: Vec<String>,
    file: Option<Value>,
}

/// What a socket is told to do.
enum Order {
    Send(Value),
    Raw(String),
    Close,
}

impl Slack {
    /// Starts it on an address of the lab.
    pub(crate) fn start(lab: Lab) -> Self {
        let address = lab.address();
        let secure = TcpListener::bind((address.v4(), 443)).expect("port 443 of an own address");
        let plain = TcpListener::bind((address.v4(), 0)).expect("a free port");
        let at = plain.local_addr().expect("a bound socket").to_string();
        let state = State {
            echo_delay: Duration::from_millis(50),
            scopes: SCOPES.to_owned(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            plain: at,
        });
        let config = Arc::new(tls());
        let secure = serve(secure, &shared, move |shared, stream| {
            let Ok(session) = ServerConnection::new(Arc::clone(&config)) else {
                return;
            };
            api::serve(shared, StreamOwned::new(session, stream));
        });
        let plain = serve(plain, &shared, |shared, stream| {
            if socket::is_wanted(&stream) {
                socket::serve(shared, stream);
            } else {
                api::serve(shared, stream);
            }
        });
        Self {
            shared,
            listeners: vec![secure, plain],
            address,
        }
    }

    /// Makes it slack.com for a host.
    pub(crate) fn become_slack_of(&self, host: &LabHost) {
        host.sh(&format!(
            "echo '{} slack.com' >> /etc/hosts",
            self.address.v4()
        ))
        .expect(0);
    }

    /// Posts as the human and returns the message's time stamp.
    pub(crate) fn say(&self, channel: &str, text: &str) -> String {
        let message = self.shared.post(channel, HUMAN, text);
        let ts = message.ts.clone();
        self.shared.send(&events::message(&message, None));
        ts
    }

    /// Edits a message of the human.
    pub(crate) fn edit(&self, ts: &str, text: &str) {
        let edited = self.shared.edit(ts, text).expect("a message");
        self.shared
            .send(&events::changed(&edited.0, &edited.1, &self.shared.stamp()));
    }

    /// Reacts as the human.
    pub(crate) fn react(&self, channel: &str, ts: &str, name: &str) {
        self.shared.send(&events::reaction(
            "reaction_added",
            HUMAN,
            channel,
            ts,
            name,
            &self.shared.stamp(),
        ));
    }

    /// Takes a reaction of the human back.
    pub(crate) fn unreact(&self, channel: &str, ts: &str, name: &str) {
        self.shared.send(&events::reaction(
            "reaction_removed",
            HUMAN,
            channel,
            ts,
            name,
            &self.shared.stamp(),
        ));
    }

    /// Deletes a message of the human.
    pub(crate) fn delete(&self, ts: &str) {
        let gone = self.shared.delete(ts).expect("a message");
        self.shared
            .send(&events::deleted(&gone, &self.shared.stamp()));
    }

    /// Posts a file as the human.
    pub(crate) fn say_file(&self, channel: &str, name: &str, content: &[u8]) {
        let id = self.shared.keep_file(name, content.to_vec());
        let file = events::file(&id, name, content.len(), HUMAN, &self.shared.plain);
        let message = self.shared.post_with(channel, HUMAN, "", Some(file));
        self.shared
            .send(&events::message(&message, Some("file_share")));
    }

    /// Lets the next calls of a method fail in these ways, one each.
    pub(crate) fn fail(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared
            .state()
            .faults
            .entry(method.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Sends the bot's echoes so much later than the call that made them.
    pub(crate) fn echo_after(&self, delay: Duration) {
        self.shared.state().echo_delay = delay;
    }

    /// Sends the event of the human's next post so late.
    pub(crate) fn delay_human(&self, delay: Duration) {
        self.shared.state().human_delays.push_back(delay);
    }

    /// Ends all faults of a method.
    pub(crate) fn heal(&self, method: &str) {
        self.shared.state().faults.remove(method);
    }

    /// Lets the bot's token have these scopes.
    pub(crate) fn grant(&self, scopes: &str) {
        scopes.clone_into(&mut self.shared.state().scopes);
    }

    /// Changes how sockets behave, those that are open included.
    pub(crate) fn link(&self, link: Link) {
        self.shared.state().link = link;
    }

    /// Asks the client for a new socket, as Slack does every few hours.
    pub(crate) fn refresh(&self) {
        self.shared.order(|| {
            Order::Raw(
                r#"{"type":"disconnect","reason":"refresh_requested","debug_info":{"host":"x"}}"#
                    .to_owned(),
            )
        });
    }

    /// Cuts every socket.
    pub(crate) fn cut(&self) {
        self.shared.order(|| Order::Close);
        self.shared.state().sockets.clear();
    }

    /// Waits until a method was called once more than `before` times.
    pub(crate) fn wait_for_call(&self, method: &str, before: usize) {
        self.shared.wait(&format!("{method} is called"), |state| {
            let calls = state.calls.iter().filter(|call| *call == method);
            (calls.count() > before).then_some(())
        });
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        let state = self.shared.state();
        state.calls.iter().filter(|call| *call == method).count()
    }

    /// The texts in a channel.
    pub(crate) fn texts(&self, channel: &str) -> Vec<String> {
        let state = self.shared.state();
        let inside = state
            .messages
            .iter()
            .filter(|message| message.channel == channel);
        inside.map(|message| message.text.clone()).collect()
    }

    /// Waits until as many events were acknowledged.
    pub(crate) fn wait_for_acknowledgements(&self, count: usize) {
        self.shared.wait("events are acknowledged", |state| {
            (state.acknowledged.len() >= count).then_some(())
        });
    }

    /// How many events were acknowledged.
    pub(crate) fn acknowledgements(&self) -> usize {
        self.shared.state().acknowledged.len()
    }

    /// Waits until a socket is open.
    pub(crate) fn wait_for_socket(&self) {
        self.shared.wait("a socket is open", |state| {
            (!state.sockets.is_empty()).then_some(())
        });
    }

    /// Waits until no message is left in a channel.
    pub(crate) fn wait_until_empty(&self, channel: &str) {
        let none = |state: &State| {
            state
                .messages
                .iter()
                .all(|message| message.channel != channel)
                .then_some(())
        };
        self.shared.wait("the channel is empty", none);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(&self, what: &str, ready: impl Fn(&State) -> Option<T>) -> T {
        let (mut state, until) = (self.state(), Instant::now() + PATIENCE);
        loop {
            if let Some(found) = ready(&state) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "in vain waited until {what}; calls: {:?}",
                state.calls.iter().map(String::as_str).collect::<Vec<_>>()
            );
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A time stamp of now that no other message has.
    fn stamp(&self) -> String {
        let mut state = self.state();
        state.number += 1;
        let micros = jiff::Timestamp::now().as_microsecond();
        format!(
            "{}.{:06}",
            micros / 1_000_000,
            (micros % 1_000_000) / 10 * 10 + i64::try_from(state.number % 10).unwrap_or(0)
        )
    }

    fn post(&self, channel: &str, user: &str, text: &str) -> Message {
        self.post_with(channel, user, text, None)
    }

    fn post_with(&self, channel: &str, user: &str, text: &str, file: Option<Value>) -> Message {
        let (channel, user, text) = (channel.to_owned(), user.to_owned(), text.to_owned());
        let message = Message {
            channel,
            user,
            ts: self.stamp(),
            text,
            edited: None,
            reactions: Vec::new(),
            file,
        };
        self.state().messages.push(message.clone());
        message
    }

    fn edit(&self, ts: &str, text: &str) -> Option<(Message, Message)> {
        let stamp = self.stamp();
        let mut state = self.state();
        let message = state.messages.iter_mut().find(|message| message.ts == ts)?;
        let before = message.clone();
        text.clone_into(&mut message.text);
        message.edited = Some(stamp);
        Some((before, message.clone()))
    }

    fn delete(&self, ts: &str) -> Option<Message> {
        let mut state = self.state();
        let place = state.messages.iter().position(|message| message.ts == ts)?;
        self.changed.notify_all();
        Some(state.messages.remove(place))
    }

    fn keep_file(&self, name: &str, content: Vec<u8>) -> String {
        let mut state = self.state();
        state.number += 1;
        let id = format!("F{:04}", state.number);
        state.files.insert(id.clone(), (name.to_owned(), content));
        id
    }

    fn send(&self, event: &Value) {
        self.order(|| Order::Send(event.clone()));
    }

    fn order(&self, order: impl Fn() -> Order) {
        self.state()
            .sockets
            .retain(|(_, socket)| socket.send(order()).is_ok());
    }
}

impl Drop for Slack {
    /// The address is given back afterwards, so nobody may listen on it any more.
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.cut();
        for (address, listener) in self.listeners.drain(..) {
            drop(TcpStream::connect(address));
            drop(listener.join());
        }
    }
}

/// Serves each connection on a thread of its own.
fn serve(
    listener: TcpListener,
    shared: &Arc<Shared>,
    each: impl Fn(&Arc<Shared>, TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let (shared, each) = (Arc::clone(shared), Arc::new(each));
    let address = listener.local_addr().expect("a bound socket");
    let thread = thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if shared.stopped.load(Ordering::Relaxed) {
                return;
            }
            let (shared, each) = (Arc::clone(&shared), Arc::clone(&each));
            thread::spawn(move || each(&shared, stream));
        }
    });
    (address, thread)
}

fn tls() -> ServerConfig {
    let folder = tree::authority();
    let chain = CertificateDer::pem_file_iter(folder.join("slack.com.pem")).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("slack.com.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions");
    builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key")
}
