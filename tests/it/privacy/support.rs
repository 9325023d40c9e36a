use integration_tests::application::SessionTokens;
use integration_tests::{Request, Response, Stack, Value, audit, json};
use std::process::Command;

/// A browser that leaves a label of its own.
pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// What is known of one person; every word of it names that person and nobody else.
#[derive(Clone)]
pub struct Person {
    pub user: String,
    pub device: String,
    pub device_name: String,
    pub data: String,
    pub device_data: String,
    pub state: String,
    pub place: String,
    pub address: String,
    pub agent: String,
}

impl Person {
    pub fn new(name: &str, network: u8) -> Self {
        Person {
            user: format!("{name}-user-canary"),
            device: format!("{name}-device-canary"),
            device_name: format!("{name}-laptop-canary"),
            data: format!("{name}-data-canary"),
            device_data: format!("{name}-synced-canary"),
            state: format!("{name}-state-canary"),
            place: format!("{name}-town-canary"),
            address: format!("198.51.{network}.77"),
            agent: format!("{AGENT} {name}-agent-canary"),
        }
    }

    /// What may stand nowhere once the person is erased.
    pub fn words(&self) -> Vec<String> {
        let network = self.address.rsplit_once('.').expect("an address").0.to_owned();
        let texts = [&self.user, &self.device, &self.device_name, &self.data, &self.device_data, &self.state];
        let mut words: Vec<String> = texts.into_iter().cloned().collect();
        words.extend([self.place.clone(), format!("{network}."), self.agent.clone()]);
        words
    }

    pub async fn begin(&self, stack: &Stack) -> SessionTokens {
        let body = json!({
            "userId": self.user,
            "device": { "deviceId": self.device, "name": self.device_name, "type": "desktop", "place": self.place },
            "client": { "ip": self.address, "userAgent": self.agent, "fingerprint": format!("print={}", self.user) },
            "data": { "note": self.data },
        });
        SessionTokens::from_created(&stack.app.create_session(body).await.expect(201))
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/users/{}{rest}", self.user)
    }

    /// Leaves something in every store; what is in the outbox has been drained.
    pub async fn live(&self, stack: &Stack) -> SessionTokens {
        self.begin(stack).await;
        let tokens = self.begin(stack).await;
        let data = |word: &str| json!({ "data": { "note": word } });
        let device = stack.app.request("PUT", &self.path(&format!("/devices/{}/data", self.device)));
        device.header("if-match", "*").json(&data(&self.device_data)).send().await.expect(200);
        let state = stack.app.request("PATCH", &self.path("/state")).header("if-match", "*");
        state.json(&data(&self.state)).send().await.expect(200);
        stack.app.patch(&tokens.session_id, "*", json!({ "data": { "more": self.data } })).await.expect(200);
        stack.run_write_audit().await;
        tokens
    }

    pub fn erase(&self, stack: &Stack) -> Request {
        stack.app.request("DELETE", &self.path(""))
    }

    pub async fn export(&self, stack: &Stack) -> Value {
        stack.app.request("GET", &self.path("/export")).send().await.expect(200).json()
    }

    pub async fn set(&self, stack: &Stack, off: &[&str]) -> Response {
        put(stack, &self.user, off).send().await
    }
}

/// Replaces the settings; what is named is off.
pub fn put(stack: &Stack, user: &str, off: &[&str]) -> Request {
    stack.app.request("PUT", &format!("/users/{user}/privacy")).json(&settings(off))
}

pub fn settings(off: &[&str]) -> Value {
    let names = ["activityTracking", "location", "fingerprinting", "sharing"];
    names
        .into_iter()
        .map(|name| (name.to_owned(), json!(!off.contains(&name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Everything in every store, once with the bytes as they are and once with text as text.
pub async fn everything(stack: &Stack) -> String {
    let mut text = String::new();
    for key in stack.redis_keys().await {
        text += &format!("{} ", key.name());
        key.content.iter().for_each(|part| text += &format!("{} ", String::from_utf8_lossy(part)));
        text.push('\n');
    }
    text += &tables(stack).await;
    text += &audit::everything(&stack.database().connect().await).await;
    text
}

/// Every item of every table.
pub async fn tables(stack: &Stack) -> String {
    let mut text = String::new();
    for table in table_names(stack) {
        let mut pages = stack.aws.dynamodb.scan().table_name(&table).into_paginator().send();
        while let Some(page) = pages.next().await {
            for item in page.expect("a page").items() {
                let mut item: Vec<_> = item.iter().collect();
                item.sort_by_key(|(name, _)| name.as_str());
                for (name, value) in item {
                    let bytes = value.as_b().map(|blob| String::from_utf8_lossy(blob.as_ref()).into_owned());
                    text += &format!("{table} {name} {value:?} {}\n", bytes.unwrap_or_default());
                }
            }
        }
    }
    text
}

pub fn table_names(stack: &Stack) -> Vec<String> {
    let tables = &stack.aws.tables;
    [
        &tables.applications,
        &tables.keys,
        &tables.users,
        &tables.devices,
        &tables.revocations,
        &tables.deliveries,
        &tables.subject_keys,
    ]
    .map(Clone::clone)
    .to_vec()
}

/// What `pg_dump` writes of the database.
pub fn dump(stack: &Stack) -> String {
    let output = Command::new("pg_dump").arg(stack.database().url()).output().expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The logs of every environment of the stack that is running.
pub fn logs(stack: &Stack) -> String {
    let functions = integration_tests::template::Template::of_repository().functions();
    let environments = functions.into_iter().flat_map(|function| stack.fleet.running(&function.name()));
    environments.map(|environment| environment.log_text()).collect()
}

/// Asserts that none of the words stands in a text.
#[track_caller]
pub fn expect_none(words: &[String], place: &str, text: &str) {
    for word in words {
        if let Some(at) = text.find(word.as_str()) {
            let start = text.floor_char_boundary(at.saturating_sub(120));
            let end = text.floor_char_boundary((at + 80).min(text.len()));
            panic!("{place} has {word}: {}", &text[start..end]);
        }
    }
}

/// Asserts that all of the words stand in a text.
#[track_caller]
pub fn expect_all(words: &[String], place: &str, text: &str) {
    for word in words {
        assert!(text.contains(word.as_str()), "{place} lacks {word}");
    }
}
