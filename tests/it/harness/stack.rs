use std::collections::BTreeMap;
use std::path::Path;

use integration_tests::{Environment, Stack, StackBuilder, json, settings};

/// A stack whose functions all give the same answer: an application for an operator, a response for the gateway.
fn stack() -> StackBuilder {
    let answer = json!({
        "application": { "applicationId": "demo" },
        "applicationKey": format!("sk_demo_{}", settings::random_hex(16)),
        "statusCode": 201,
        "headers": {
            "cache-control": "no-store",
            "content-type": "application/json; charset=utf-8",
            "strict-transport-security": "max-age=31536000",
            "x-content-type-options": "nosniff",
            "etag": "\"1\"",
        },
        "body": json!({ "session": { "sessionId": "ses_1" }, "accessToken": "jwt-canary-1" }).to_string(),
    });
    Stack::builder()
        .with_binary(Path::new(env!("CARGO_BIN_EXE_harness-probe")))
        .with_variable("PROBE_RESPOND", &answer.to_string())
}

fn variables(environment: &Environment) -> BTreeMap<String, String> {
    let path = format!("/proc/{}/environ", environment.pid());
    let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn variables_of(stack: &Stack, function: &str) -> BTreeMap<String, String> {
    let environment = stack.environment(function, 0).await;
    environment.ready().await.unwrap();
    variables(&environment)
}

#[tokio::test]
async fn functions_get_what_the_template_gives_them() {
    let stack = stack().with_database().start().await;
    let get = variables_of(&stack, "get-session").await;
    assert_eq!(get["STACK_NAME"], stack.name);
    assert_eq!(get["PUBLIC_URL"], stack.public_url);
    assert_eq!(get["REDIS_URL"], stack.redis().url());
    assert_eq!(get["REDIS_CLUSTER"], "false");
    assert_eq!(get["APPLICATIONS_TABLE"], stack.aws.tables.applications);
    assert_eq!(get["KMS_KEY_ID"], stack.aws.kms_key_id);
    assert_eq!(get["AWS_ENDPOINT_URL"], settings::moto_url());
    assert_eq!(get["AWS_LAMBDA_FUNCTION_NAME"], "get-session");
    for absent in ["DATABASE_URL", "USERS_TABLE", "REDIS_IAM_USER", "LD_PRELOAD"] {
        assert!(!get.contains_key(absent), "{absent}");
    }
    assert_eq!(variables_of(&stack, "write-audit").await["DATABASE_URL"], stack.database().url());
    assert!(!variables_of(&stack, "health").await.contains_key("REDIS_URL"));
}

#[tokio::test]
async fn proxies_tls_and_clock_stand_between_functions_and_stores() {
    let stack =
        stack().with_tls_redis().with_redis_proxy().with_moto_proxy().with_database_proxy().with_clock().start().await;
    let get = variables_of(&stack, "get-session").await;
    assert_eq!(get["REDIS_URL"], format!("rediss://{}", stack.redis_proxy().authority()));
    assert!(Path::new(&get["REDIS_CA_FILE"]).exists());
    assert_eq!(get["AWS_ENDPOINT_URL"], format!("http://{}", stack.moto_proxy().authority()));
    assert!(get["LD_PRELOAD"].contains("faketime"));
    let audit = variables_of(&stack, "write-audit").await;
    assert!(audit["DATABASE_URL"].contains(&stack.database_proxy().authority()));
}

#[tokio::test]
async fn the_shared_cluster_can_take_the_place_of_a_private_redis() {
    let stack = stack().with_cluster().start().await;
    let get = variables_of(&stack, "get-session").await;
    assert_eq!(get["REDIS_CLUSTER"], "true");
    assert_eq!(get["REDIS_URL"], settings::redis_cluster_urls()[0]);
    let key = format!("harness:{}", settings::random_hex(8));
    let urls = settings::redis_cluster_urls();
    let client = redis::cluster::ClusterClient::new(urls).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    redis::cmd("SET").arg(&key).arg("v").exec_async(&mut connection).await.unwrap();
    let held = stack.redis_keys().await;
    redis::cmd("DEL").arg(&key).exec_async(&mut connection).await.unwrap();
    assert_eq!(held.iter().filter(|dump| dump.name() == key).count(), 1);
}

#[tokio::test]
async fn requests_reach_functions_and_credentials_are_listed() {
    let stack = stack().start().await;
    let session = stack.app.start_session("ada").await;
    assert_eq!((session.session_id.as_str(), session.etag.as_str()), ("ses_1", "\"1\""));
    let listed = std::fs::read_to_string(integration_tests::secrets::file()).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.contains(&"jwt-canary-1") && lines.contains(&stack.app.key.as_str()));
    let elsewhere = stack.request("GET", "/nowhere").send().await;
    assert_eq!((elsewhere.status, elsewhere.function), (404, None));
}

#[tokio::test]
#[should_panic(expected = "header x-powered-by is not in the list")]
async fn a_response_that_breaks_a_rule_fails_the_test() {
    let answer = json!({
        "application": { "applicationId": "demo" },
        "applicationKey": "sk_demo_secret",
        "statusCode": 200,
        "headers": { "x-powered-by": "magic" },
    });
    let stack = stack().with_variable("PROBE_RESPOND", &answer.to_string()).start().await;
    stack.request("GET", "/health").unchecked().send().await.expect(200);
    stack.request("GET", "/health").send().await;
}
