use std::time::Duration;

use integration_tests::stack::StackBuilder;
use integration_tests::{Stack, Value, eventually, json};

pub use crate::webhooks::support::{Hook, Received, add_receiver, builder};

/// A stack with a clock whose rules fire at few events; what a test does not name stays out of its way.
pub fn watched(thresholds: &[(&str, &str)]) -> StackBuilder {
    let quiet = ["ALERT_SECURITY_EVENTS", "ALERT_REFRESH_REPLAYS", "ALERT_EVICTIONS"];
    let builder = quiet.iter().fold(builder().with_clock(), |builder, name| builder.with_variable(name, "1000"));
    thresholds.iter().fold(builder, |builder, (name, value)| builder.with_variable(name, value))
}

/// Who is told: operators through SNS, and the first application through a webhook.
pub struct Listeners {
    pub operators: Hook,
    pub application: Hook,
}

impl Listeners {
    pub async fn of(stack: &Stack) -> Self {
        let (operators, application) = (Hook::start().await, Hook::start().await);
        let receiver = json!({
            "url": application.url(), "kind": "webhook", "events": ["alert.fired", "alert.resolved"],
        });
        add_receiver(stack, &stack.app, receiver).await;
        let subscribe = stack.aws.sns.subscribe().topic_arn(&stack.aws.topic_arn).protocol("http");
        // Subscribers choose by attributes; a message without them would not come.
        let wanted = json!({ "severity": ["critical", "warning"], "state": ["firing", "resolved"] }).to_string();
        let subscribe = subscribe.attributes("FilterPolicy", wanted);
        subscribe.endpoint(operators.url()).send().await.expect("Subscribe succeeds");
        Self { operators, application }
    }

    /// Delivers what is due, and returns the bodies that operators and application have got so far.
    pub async fn told(&self, stack: &Stack) -> (Vec<Value>, Vec<Value>) {
        let delivered = stack.run_deliveries().await;
        assert_eq!((&delivered["postponed"], &delivered["more"]), (&json!(0), &json!(false)), "{delivered}");
        let application = self.application.received().iter().map(Received::json).collect();
        (self.published().iter().map(message).collect(), application)
    }

    /// What SNS has pushed to operators.
    pub fn published(&self) -> Vec<Value> {
        let pushed = self.operators.received();
        pushed.iter().map(|pushed| pushed.json()).filter(|pushed| pushed["Type"] == "Notification").collect()
    }

    /// Waits for this many messages of SNS, which pushes them when it likes.
    pub async fn published_by_now(&self, count: usize) -> Vec<Value> {
        eventually("SNS pushes", || async { Some(self.published()).filter(|pushed| pushed.len() >= count) }).await
    }
}

/// The body inside a message of SNS.
pub fn message(published: &Value) -> Value {
    serde_json::from_str(published["Message"].as_str().expect("a message")).expect("JSON")
}

/// Type and rule of notices.
pub fn kinds(bodies: &[Value]) -> Vec<String> {
    let kind = |body: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&body["type"]), text(&body["data"]["alert"]["rule"]))
    };
    bodies.iter().map(kind).collect()
}

/// What two minutes of schedules do.
pub async fn round(stack: &Stack) -> Value {
    stack.run_write_audit().await;
    stack.run_alerts().await
}

/// A whole quiet window and a bit, with the schedules running at its end.
pub async fn after(stack: &Stack, seconds: u64) -> Value {
    stack.advance(Duration::from_secs(seconds));
    round(stack).await
}

/// Sessions whose refresh tokens are replayed.
pub async fn replay(stack: &Stack, count: usize) {
    for number in 0..count {
        let session = stack.app.start_session(&format!("user-{number}")).await;
        let second = stack.app.refresh(&session.session_id, &session.refresh_token).await.expect(200).json();
        let second = second["refreshToken"].as_str().expect("a token");
        stack.app.refresh(&session.session_id, second).await.expect(200);
        let replay = stack.app.refresh(&session.session_id, &session.refresh_token).await;
        replay.expect_problem(401, "refresh_token_reused");
    }
}
