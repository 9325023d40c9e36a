//! What a policy document would do: the rules of every kind of device and level of trust, and what differs from another
//! document.

use super::{DeviceType, Effective, Policy, TrustLevel};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The levels that sessions can begin at.
const LEVELS: [TrustLevel; 3] = [TrustLevel::New, TrustLevel::Known, TrustLevel::Trusted];

/// What a document would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The rules where no overlay applies.
    pub base: Effective,
    /// Where other rules hold.
    pub effective: Vec<Row>,
    /// What differs from the document before.
    pub differences: Vec<Difference>,
}

/// The rules of one kind of device at one level of trust.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The kind; absent for sessions without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
    /// The level.
    pub trust: TrustLevel,
    /// Its rules.
    pub rules: Effective,
}

/// One field that two documents state differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its path, `policy.deviceTypes.tv.idleTimeoutSeconds`.
    pub field: String,
    /// What stood there; `null` for nothing.
    pub from: Value,
    /// What would stand there; `null` for nothing.
    pub to: Value,
}

impl Policy {
    /// What this document would do in the place of `before`.
    pub fn preview(&self, before: &Policy) -> Preview {
        let bare = Policy { device_types: BTreeMap::new(), trust_levels: BTreeMap::new(), ..self.clone() };
        let base = bare.effective(None, TrustLevel::New);
        let kinds = std::iter::once(None).chain(DeviceType::ALL.map(Some));
        let rows = kinds.flat_map(|device_type| {
            LEVELS.map(|trust| Row { device_type, trust, rules: self.effective(device_type, trust) })
        });
        let effective = rows.filter(|row| row.rules != base).collect();
        let mut differences = Vec::new();
        let document = |policy: &Policy| serde_json::to_value(policy).unwrap_or_default();
        compare("policy", &document(before), &document(self), &mut differences);
        Preview { base, effective, differences }
    }
}

fn compare(field: &str, from: &Value, to: &Value, found: &mut Vec<Difference>) {
    match (from, to) {
        (Value::Object(before), Value::Object(after)) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let member = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                compare(&format!("{field}.{name}"), &member(before), &member(after), found);
            }
        }
        _ if from == to => {}
        _ => found.push(Difference { field: field.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::Overlay;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_shown() {
        let same = Policy::default().preview(&Policy::default());
        assert_eq!((same.effective.len(), same.differences.len()), (0, 0));

        let tv = Overlay { idle_timeout_seconds: Some(600), ..Overlay::default() };
        let trusted = Overlay { step_up_age_seconds: Some(60), ..Overlay::default() };
        let policy = Policy {
            refresh_grace_seconds: 0,
            device_types: BTreeMap::from([(DeviceType::Tv, tv)]),
            trust_levels: BTreeMap::from([(TrustLevel::Trusted, trusted)]),
            ..Policy::default()
        };
        let preview = policy.preview(&Policy::default());
        assert_eq!((preview.base.refresh_grace_seconds, preview.base.idle_timeout_seconds), (0, 604_800));
        // Televisions at three levels, and the trusted ones of everything else: seven kinds and none.
        assert_eq!(preview.effective.len(), 3 + 7);
        for row in &preview.effective {
            let of_tv = row.device_type == Some(DeviceType::Tv);
            assert_eq!(row.rules.idle_timeout_seconds, if of_tv { 600 } else { 604_800 });
            assert_eq!(row.rules.step_up_age_seconds, if row.trust == TrustLevel::Trusted { 60 } else { 300 });
        }
        let told: Vec<_> = preview.differences.iter().map(|d| (d.field.as_str(), &d.from, &d.to)).collect();
        assert_eq!(
            told,
            [
                ("policy.deviceTypes.tv", &json!(null), &json!({ "idleTimeoutSeconds": 600 })),
                ("policy.refreshGraceSeconds", &json!(10), &json!(0)),
                ("policy.trustLevels.trusted", &json!(null), &json!({ "stepUpAgeSeconds": 60 })),
            ]
        );
    }
}
