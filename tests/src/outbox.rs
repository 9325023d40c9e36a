//! The events that wait in the outboxes of a private Redis.

use crate::stack::Stack;

/// An event in an outbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Its type.
    pub kind: String,
    /// Why, for ends and replays.
    pub reason: String,
    /// The session as its keys name it; empty for events of a user.
    pub session: String,
    /// Its id: what is queued twice under one is one event.
    pub id: String,
}

/// Whether a text is the id of an entry, by which a dump of a stream is taken apart.
fn is_entry_id(bytes: &[u8]) -> bool {
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let dash = bytes.iter().position(|byte| *byte == b'-');
    dash.is_some_and(|at| at == 13 && digits(&bytes[..at]) && digits(&bytes[at + 1..]))
}

/// Every event in every outbox, in the order of their buckets.
pub async fn events(stack: &Stack) -> Vec<Event> {
    let outboxes = stack.redis_keys().await.into_iter().filter(|key| key.kind == "stream");
    let mut events = Vec::new();
    for outbox in outboxes {
        for entry in outbox.content.chunk_by(|_, next| !is_entry_id(next)) {
            let bytes = |name: &str| entry[1..].chunks_exact(2).find(|pair| pair[0] == name.as_bytes());
            let field = |name: &str| String::from_utf8(bytes(name).expect("the field")[1].clone()).expect("text");
            // What is no event has no actor: what environments have measured.
            if bytes("c").is_none() {
                continue;
            }
            events.push(Event { kind: field("t"), reason: field("r"), session: field("s"), id: field("i") });
        }
    }
    events
}
