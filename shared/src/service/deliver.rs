//! Delivering events to receivers: each receiver has queues of its own, so a slow one holds up nobody else.
//!
//! Per receiver: look for what is due, take it, post it, write how it went. A run that dies between post and write
//! leaves a delivery that is posted again when its lease is over, with the same id: at least once, in no order.

use super::key_store::KeyStore;
use crate::adapters::dynamodb::applications::Applications;
use crate::adapters::dynamodb::deliveries::{Deliveries, Due, Recipient, Settlement};
use crate::adapters::outbound::{Message, Outbound};
use crate::adapters::sns::Topic;
use crate::clock;
use crate::core::access_token::SigningKey;
use crate::core::application::{Application, ApplicationStatus};
use crate::core::backoff::next_attempt;
use crate::core::crypto::SecretKey;
use crate::core::keyring::{KeyUse, Purpose};
use crate::core::metrics::{Measure, Measured};
use crate::core::notice::Notice;
use crate::core::receiver::{Receiver, ReceiverKind};
use crate::core::receiver_url::Target;
use crate::core::time::Timestamp;
use crate::core::{set, webhook};
use crate::error::{Dependency, Error, Result};
use crate::limits::{
    DELIVERY_ATTEMPT_MILLIS, DELIVERY_CONCURRENCY, DELIVERY_FAILURES_MAX, DELIVERY_QUEUES,
    DELIVERY_RECEIVERS_CONCURRENCY,
};
use futures_util::{StreamExt, stream};
use http::header::HeaderName;
use serde::Serialize;
use std::sync::atomic::{AtomicU32, Ordering};

/// Deliveries of one queue that are looked up at a time.
const PAGE: i32 = 25;
/// What a receiver answers when it wants no more of this (RFC 9110 §15.5.11).
const GONE: u16 = 410;
/// What SNS taking a message stands for.
const ACCEPTED: u16 = 200;

/// What deliveries need.
pub struct Courier {
    /// Application records with their receivers.
    pub applications: Applications,
    /// What is to be delivered.
    pub deliveries: Deliveries,
    /// Keys of secrets and tokens.
    pub keys: KeyStore,
    /// The way out.
    pub outbound: Outbound,
    /// Where operators hear of alerts.
    pub topic: Topic,
    /// `iss` of event tokens.
    pub issuer: String,
    /// Whether receivers may be on this machine: development and tests.
    pub allow_loopback: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Accepted by their receiver.
    pub delivered: u64,
    /// Not accepted, to be tried again.
    pub postponed: u64,
    /// Not accepted, and given up.
    pub given_up: u64,
    /// How long the delivery that was due longest has been due, in seconds.
    pub oldest_due_seconds: i64,
    /// Whether something that is due was left: the time ran out, or its receiver failed again and again.
    pub more: bool,
}

impl Measured for Delivered {
    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::count("Delivered", self.delivered),
            Measure::count("Postponed", self.postponed),
            Measure::count("GivenUp", self.given_up),
            Measure::seconds("OldestDueSeconds", self.oldest_due_seconds),
            Measure::whether("Unfinished", self.more),
        ]
    }
}

impl Delivered {
    fn with(self, other: Delivered) -> Self {
        Delivered {
            delivered: self.delivered + other.delivered,
            postponed: self.postponed + other.postponed,
            given_up: self.given_up + other.given_up,
            oldest_due_seconds: self.oldest_due_seconds.max(other.oldest_due_seconds),
            more: self.more || other.more,
        }
    }
}

/// Delivers what is due until nothing is or `until` has come.
pub async fn deliver(courier: &Courier, until: Timestamp) -> Result<Delivered> {
    let applications = courier.applications.all().await?;
    let receivers = in_turn(&applications, clock::now()).into_iter().map(Some);
    // An attempt that begins now must be over before the time is.
    let begin_until = Timestamp::from_millis(until.millis() - i64::try_from(DELIVERY_ATTEMPT_MILLIS).unwrap_or(0));
    // Operators first: they are told when something is wrong.
    let runs: Vec<(Delivered, Option<Error>)> = stream::iter(std::iter::once(None).chain(receivers))
        .map(|receiver| serve(courier, receiver, begin_until))
        .buffer_unordered(DELIVERY_RECEIVERS_CONCURRENCY)
        .collect()
        .await;
    let mut total = Delivered::default();
    let mut failure = None;
    for (delivered, error) in runs {
        total = total.with(delivered);
        failure = failure.or(error);
    }
    failure.map_or(Ok(total), Err)
}

/// Every receiver of the applications that are served, beginning with another one each minute: when the time does not
/// suffice, it is not always the same ones that wait.
fn in_turn(applications: &[Application], now: Timestamp) -> Vec<(&Application, &Receiver)> {
    let served = applications.iter().filter(|application| application.status == ApplicationStatus::Active);
    let mut receivers: Vec<_> =
        served.flat_map(|application| application.receivers.iter().map(move |r| (application, r))).collect();
    if !receivers.is_empty() {
        let turn = usize::try_from(now.seconds() / 60).unwrap_or(0) % receivers.len();
        receivers.rotate_left(turn);
    }
    receivers
}

/// How one recipient is told.
enum Way {
    /// Through SNS, which has subscribers of its own.
    Topic,
    Receiver(Target, Seal),
}

/// How messages to one receiver are made.
enum Seal {
    Webhook(SecretKey),
    Ssf { key: SigningKey, audience: String },
}

/// One receiver during one run.
struct Line<'a> {
    courier: &'a Courier,
    recipient: Recipient,
    way: Way,
    /// Failures since the last success; when there are enough, the receiver is left alone until the next run.
    failures: AtomicU32,
    begin_until: Timestamp,
}

/// Delivers what is due to one receiver, or to the topic. What went well before an error counts all the same.
async fn serve(
    courier: &Courier,
    receiver: Option<(&Application, &Receiver)>,
    begin_until: Timestamp,
) -> (Delivered, Option<Error>) {
    let recipient = receiver.map_or_else(Recipient::topic, |(application, receiver)| Recipient {
        application_id: application.application_id.clone(),
        receiver_id: receiver.receiver_id.clone(),
    });
    let receiver = receiver.map(|(_, receiver)| receiver);
    let mut total = Delivered::default();
    let mut line = None;
    for queue in 0..DELIVERY_QUEUES {
        loop {
            let now = clock::now();
            let due = match courier.deliveries.due(&recipient, queue, now, PAGE).await {
                Ok(due) => due,
                Err(error) => return (total, Some(error)),
            };
            let Some(oldest) = due.first() else { break };
            total.oldest_due_seconds = total.oldest_due_seconds.max(now.millis_since(oldest.due_at) / 1000);
            // Keys are asked for when there is something to sign, and not before.
            let line = match &mut line {
                Some(line) => line,
                empty => match Line::open(courier, &recipient, receiver, begin_until).await {
                    Ok(Some(opened)) => empty.insert(opened),
                    Ok(None) => return (Delivered { more: true, ..total }, None),
                    Err(error) => return (total, Some(error)),
                },
            };
            let (page, error) = line.run(&due).await;
            total = total.with(page);
            if error.is_some() || page.more {
                return (total, error);
            }
            // The index shows what is taken already, by this run or another: it is for a later look.
            let stale = page == Delivered::default();
            total.more |= stale;
            if stale || due.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    (total, None)
}

impl<'a> Line<'a> {
    /// `None` when the URL is not one that would be taken today: its deliveries wait until an operator has a look.
    async fn open(
        courier: &'a Courier,
        recipient: &Recipient,
        receiver: Option<&Receiver>,
        begin_until: Timestamp,
    ) -> Result<Option<Self>> {
        let failures = AtomicU32::new(0);
        let Some(receiver) = receiver else {
            let recipient = recipient.clone();
            return Ok(Some(Line { courier, recipient, way: Way::Topic, failures, begin_until }));
        };
        let Ok(target) = Target::parse(&receiver.url, courier.allow_loopback) else {
            let Recipient { application_id, receiver_id } = recipient;
            tracing::warn!(application_id, receiver_id, "a receiver's URL is refused; remove the receiver");
            return Ok(None);
        };
        let now = clock::now();
        let seal = match receiver.kind {
            ReceiverKind::Webhook => {
                let ring = courier.keys.ring(Purpose::Pseudonym).await?;
                let (_, key) = ring.active(KeyUse::Pseudonym, now)?;
                Seal::Webhook(receiver.secret(key, &recipient.application_id))
            }
            ReceiverKind::Ssf => {
                let key = courier.keys.ring(Purpose::Token).await?.signing_key(now)?;
                Seal::Ssf { key, audience: receiver.audience.clone().unwrap_or_default() }
            }
        };
        let way = Way::Receiver(target, seal);
        Ok(Some(Line { courier, recipient: recipient.clone(), way, failures, begin_until }))
    }

    /// Attempts a page of deliveries, a few at a time.
    async fn run(&self, due: &[Due]) -> (Delivered, Option<Error>) {
        let attempts: Vec<Result<Delivered>> =
            stream::iter(due).map(|due| self.attempt(due)).buffer_unordered(DELIVERY_CONCURRENCY).collect().await;
        let mut total = Delivered::default();
        let mut failure = None;
        for attempt in attempts {
            match attempt {
                Ok(delivered) => total = total.with(delivered),
                Err(error) => failure = Some(error),
            }
        }
        (total, failure)
    }

    async fn attempt(&self, due: &Due) -> Result<Delivered> {
        let now = clock::now();
        if now >= self.begin_until || self.failures.load(Ordering::Relaxed) >= DELIVERY_FAILURES_MAX {
            return Ok(Delivered { more: true, ..Delivered::default() });
        }
        let deliveries = &self.courier.deliveries;
        let Some(leased) = deliveries.lease(due, now).await? else { return Ok(Delivered::default()) };
        let answer = self.tell(&due.notice, now).await?;
        let accepted = matches!(answer, Ok(200..=299));
        if accepted {
            self.failures.store(0, Ordering::Relaxed);
            deliveries.settle(&leased, Settlement::Done).await?;
            return Ok(Delivered { delivered: 1, ..Delivered::default() });
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        let next = match answer {
            Ok(GONE) => None,
            Ok(_) | Err(_) => next_attempt(leased.attempts, &leased.delivery_id, clock::now()),
        };
        self.log(&due.notice, leased.attempts, answer, next.is_none());
        match next {
            Some(at) => {
                deliveries.settle(&leased, Settlement::Again(at)).await?;
                Ok(Delivered { postponed: 1, ..Delivered::default() })
            }
            None => {
                deliveries.settle(&leased, Settlement::Failed).await?;
                Ok(Delivered { given_up: 1, ..Delivered::default() })
            }
        }
    }

    /// What the other side answered, or why it did not.
    async fn tell(&self, notice: &Notice, now: Timestamp) -> Result<std::result::Result<u16, String>> {
        match &self.way {
            Way::Topic => Ok(self.courier.topic.publish(notice).await.map(|()| ACCEPTED)),
            Way::Receiver(target, seal) => {
                let message = self.message(seal, notice, now)?;
                Ok(self.courier.outbound.post(target, message).await.map_err(|failure| failure.to_string()))
            }
        }
    }

    /// Without the URL: it may carry a secret of the receiver.
    fn log(&self, notice: &Notice, attempts: u32, answer: std::result::Result<u16, String>, over: bool) {
        let Recipient { application_id, receiver_id } = &self.recipient;
        let answer = answer.map_or_else(|failure| failure, |status| format!("status {status}"));
        let event_id = &notice.event_id;
        tracing::info!(application_id, receiver_id, event_id, attempts, over, %answer, "delivery not accepted");
    }

    fn message(&self, seal: &Seal, notice: &Notice, now: Timestamp) -> Result<Message> {
        match seal {
            Seal::Webhook(secret) => {
                let body = webhook::body(notice);
                let (id, timestamp) = (notice.message_id(), now.seconds());
                let signature = webhook::signature(secret, &id, timestamp, &body);
                let headers = vec![
                    (HeaderName::from_static("webhook-id"), id),
                    (HeaderName::from_static("webhook-timestamp"), timestamp.to_string()),
                    (HeaderName::from_static("webhook-signature"), signature),
                ];
                Ok(Message { content_type: "application/json", headers, body })
            }
            Seal::Ssf { key, audience } => {
                let token = set::sign(key, notice, &self.courier.issuer, audience, now);
                let body = token.ok_or_else(|| Error::unavailable(Dependency::Kms, "the signing key is unusable"))?;
                Ok(Message { content_type: "application/secevent+jwt", headers: Vec::new(), body })
            }
        }
    }
}
