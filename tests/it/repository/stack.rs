use integration_tests::stores::AwsStores;
use integration_tests::template::Template;
use integration_tests::{Value, json, settings};
use shared::adapters::jobs::BucketRange;

/// The tables that tests use are those that get deployed.
#[tokio::test]
async fn tables_of_the_harness_are_those_of_the_template() {
    let stores = AwsStores::create(&format!("stack-{}", settings::random_hex(6))).await;
    let resources = Template::of_repository().document()["Resources"].as_object().expect("resources");
    let tables = [
        ("ApplicationsTable", &stores.tables.applications),
        ("KeysTable", &stores.tables.keys),
        ("UsersTable", &stores.tables.users),
        ("DevicesTable", &stores.tables.devices),
        ("RevocationsTable", &stores.tables.revocations),
        ("DeliveriesTable", &stores.tables.deliveries),
        ("SubjectKeysTable", &stores.tables.subject_keys),
    ];
    let deployed = resources.values().filter(|resource| resource["Type"] == "AWS::DynamoDB::Table").count();
    assert_eq!(deployed, tables.len());
    for (resource, name) in tables {
        let properties = &resources[resource]["Properties"];
        let table = stores.dynamodb.describe_table().table_name(name).send().await.expect("a table").table.expect("it");
        let keys: Vec<Value> = table
            .key_schema()
            .iter()
            .map(|key| json!({"AttributeName": key.attribute_name(), "KeyType": key.key_type().as_str()}))
            .collect();
        assert_eq!(properties["KeySchema"], json!(keys), "{resource}");
        let indexes: Vec<Value> = table
            .global_secondary_indexes()
            .iter()
            .map(|index| {
                let keys = index.key_schema().iter();
                let keys: Vec<Value> = keys
                    .map(|key| json!({"AttributeName": key.attribute_name(), "KeyType": key.key_type().as_str()}))
                    .collect();
                let projection = index.projection().and_then(|projection| projection.projection_type());
                json!({
                    "IndexName": index.index_name(), "KeySchema": keys,
                    "Projection": {"ProjectionType": projection.map(|kind| kind.as_str())},
                })
            })
            .collect();
        let wanted = properties["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
        assert_eq!(wanted, indexes, "{resource}");
        let mut types: Vec<Value> = table
            .attribute_definitions()
            .iter()
            .map(|a| json!({"AttributeName": a.attribute_name(), "AttributeType": a.attribute_type().as_str()}))
            .collect();
        let mut wanted = properties["AttributeDefinitions"].as_array().expect("definitions").clone();
        types.sort_by_key(Value::to_string);
        wanted.sort_by_key(Value::to_string);
        assert_eq!(wanted, types, "{resource}");
        let expiry = stores.dynamodb.describe_time_to_live().table_name(name).send().await.expect("an answer");
        let attribute = expiry.time_to_live_description.and_then(|description| description.attribute_name);
        let wanted = properties["TimeToLiveSpecification"]["AttributeName"].as_str();
        assert_eq!(wanted, attribute.as_deref(), "{resource}");
    }
}

/// The schedules of a job leave no bucket out and do none twice; the payloads are such as the job reads.
#[test]
fn schedules_cover_every_bucket_once() {
    for (function, whole_runs) in [("write-audit", 0), ("cleanup-sessions", 1)] {
        let resource = Template::of_repository().function(function).expect("a resource");
        let events = resource.properties()["Events"].as_object().expect("schedules");
        let mut ranges = Vec::new();
        let mut whole = 0;
        for event in events.values() {
            let input: Value = match event["Properties"]["Input"].as_str() {
                Some(input) => serde_json::from_str(input).expect("the input is JSON"),
                None => json!({"detail-type": "Scheduled Event", "detail": {}}),
            };
            let range = BucketRange::from_event(&input).expect("a range");
            match range.stated {
                true => ranges.push((range.first, range.last)),
                false => whole += 1,
            }
        }
        ranges.sort();
        assert_eq!(whole, whole_runs, "{function}");
        let mut next = 0;
        for (first, last) in ranges {
            assert_eq!(first.number(), next, "{function}");
            // A chain has one writer at a time: two schedules that share one would hold each other up.
            assert_eq!(first.number() % 64, 0, "{function}");
            next = last.number() + 1;
        }
        assert_eq!(next, 4096, "{function}");
    }
}

/// Whoever reads keys at its start may: it has the policy, and the policy names the call.
#[test]
fn functions_that_warm_up_may_read_keys_in_one_request() {
    let template = Template::of_repository();
    let policy = &template.document()["Resources"]["CredentialsPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    let allows = |statement: &Value| {
        statement["Action"] == "dynamodb:BatchGetItem"
            && statement["Resource"] == json!({"Fn::GetAtt": "KeysTable.Arn"})
    };
    assert!(policy.as_array().expect("statements").iter().any(allows), "{policy}");
    let mut warm = 0;
    for function in template.functions() {
        let main =
            std::path::Path::new(settings::PACKAGE_DIR).join("../functions").join(function.name()).join("src/main.rs");
        if std::fs::read_to_string(main).expect("a main").contains(".warm_up(") {
            let policies = function.properties()["Policies"].as_array().expect("policies");
            assert!(policies.contains(&json!({"Ref": "CredentialsPolicy"})), "{}", function.name());
            warm += 1;
        }
    }
    assert!(warm > 20, "{warm} functions warm up");
}
