//! SNS: the topic that operators hear of alerts from.

use crate::core::notice::{AlertNotice, Notice};
use crate::core::webhook;
use aws_sdk_sns::Client;
use aws_sdk_sns::error::DisplayErrorContext;
use aws_sdk_sns::types::MessageAttributeValue;

/// The topic.
#[derive(Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// The topic of this ARN.
    pub fn new(client: Client, arn: String) -> Self {
        Topic { client, arn }
    }

    /// Publishes a notice: the body that webhooks get, a subject for people who get it as mail, and attributes that
    /// subscriptions can filter by. The error is for the log only.
    pub async fn publish(&self, notice: &Notice) -> std::result::Result<(), String> {
        let mut publish = self.client.publish().topic_arn(&self.arn).message(webhook::body(notice));
        if let Some(alert) = &notice.alert {
            publish = publish.subject(subject(notice, alert));
            for (name, value) in [("rule", &alert.rule), ("severity", &alert.severity), ("state", &alert.state)] {
                let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
                publish = publish.message_attributes(name, value.map_err(|error| error.to_string())?);
            }
        }
        publish.send().await.map(drop).map_err(|error| DisplayErrorContext(&error).to_string())
    }
}

/// At most 100 printable characters of ASCII, as SNS wants: words of ours, and an id that is short.
fn subject(notice: &Notice, alert: &AlertNotice) -> String {
    let whose = match notice.application_id.as_str() {
        "" => "the stack",
        application => application,
    };
    format!("{} alert {}: {} of {whose}", alert.severity, alert.state, alert.rule)
}
