use std::collections::BTreeSet;

use integration_tests::Value;
use integration_tests::template::Template;

use crate::repository::files::read;

/// Metrics that alarms name below the namespace of the stack, with their operation.
fn alarmed(value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(members) => {
            let own = members.get("Namespace").is_some_and(|namespace| namespace.to_string().contains("Sessions/"));
            if let (true, Some(metric), Some(dimensions)) = (own, members.get("MetricName"), members.get("Dimensions"))
            {
                let dimensions = dimensions.as_array().expect("dimensions");
                let operation = dimensions.iter().find(|dimension| dimension["Name"] == "Operation");
                let operation = operation.expect("an operation")["Value"].as_str().expect("a name");
                assert!(dimensions.iter().any(|dimension| dimension["Name"] == "Stage"), "{value}");
                found.insert((metric.as_str().expect("a name").to_owned(), operation.to_owned()));
            }
            members.values().for_each(|member| alarmed(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| alarmed(item, found)),
        _ => {}
    }
}

/// An alarm on a metric that nothing emits would never ring.
#[test]
fn alarms_and_dashboard_name_metrics_that_exist() {
    let document = Template::of_repository().document();
    let mut found = BTreeSet::new();
    alarmed(&document["Resources"], &mut found);
    assert!(found.len() >= 8, "{found:?}");
    let emitted = [
        ("write-audit", "audit_drain.rs"),
        ("cleanup-sessions", "cleanup.rs"),
        ("deliver-events", "deliver.rs"),
        ("evaluate-alerts", "alerts.rs"),
    ];
    let lag = read("shared/src/core/lag.rs");
    for (metric, operation) in found {
        let file = emitted.iter().find(|(name, _)| *name == operation).expect("an operation that measures").1;
        let source = read(format!("shared/src/service/{file}")) + &lag;
        assert!(source.contains(&format!("\"{metric}\"")), "{operation} measures no {metric}");
    }
    let dashboard = read("template.yaml");
    let dashboard = dashboard.split("DashboardBody:").nth(1).expect("a dashboard");
    for metric in ["OldestWaitingSeconds", "SecurityEvents", "RefreshReplays", "Evictions", "AlertsFiring", "Errors"] {
        assert!(
            dashboard.contains(&format!("\"{metric}\"")) || dashboard.contains(&format!("\\\"{metric}\\\"")),
            "{metric}"
        );
    }
}
