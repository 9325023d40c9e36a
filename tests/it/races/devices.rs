//! Removals and blocks of a device racing logins on it, and logins racing the limit of a type. I-1, I-4, I-11, T-67.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Response, Stack, eventually, json};

use super::{refresh, refresh_token, tally};

async fn login(stack: &Stack, user: &str) -> Response {
    stack.app.create_session(json!({ "userId": user, "device": { "deviceId": "phone" } })).await
}

/// How many of the sessions that were answered live.
async fn living(stack: &Stack, answers: &[Response]) -> usize {
    let mut living = 0;
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        let session = SessionTokens::from_created(answer);
        let read = stack.app.get(&session.session_id).await;
        let refreshed = refresh(stack, &session.session_id, &session.refresh_token).await;
        assert_eq!((read.status == 200, refreshed.status), if read.status == 200 { (true, 200) } else { (false, 401) });
        if refreshed.status == 200 {
            refresh(stack, &session.session_id, &refresh_token(&refreshed)).await.expect(200);
        }
        living += usize::from(read.status == 200);
    }
    living
}

/// A login is before the removal, and over, or after it, on a device that is registered anew.
#[tokio::test]
async fn i_1_i_11_a_login_that_races_a_removal_is_before_or_after_it() {
    let stack = Stack::builder().with_environments(6).start().await;
    let mut met = [0, 0];
    for round in 0..30 {
        let user = format!("user-{round}");
        let old = SessionTokens::from_created(&login(&stack, &user).await);
        let path = format!("/users/{user}/devices/phone");
        let logins = join_all((0..3).map(|_| login(&stack, &user)));
        let (answers, removed) = tokio::join!(logins, stack.app.request("DELETE", &path).send());
        removed.expect(204);
        for answer in &answers {
            assert!([201, 409].contains(&answer.status), "{answer:?}");
        }
        stack.app.get(&old.session_id).await.expect_problem(404, "session_ended");
        let alive = living(&stack, &answers).await;
        // Whoever lives began on the device as it is registered now.
        let device = stack.app.request("GET", &path).send().await;
        assert!(alive == 0 || device.status == 200, "{alive} live, and {device:?}");
        met[usize::from(alive > 0)] += 1;
        stack.app.request("DELETE", &path).send().await.expect(204);
        assert_eq!(living(&stack, &answers).await, 0, "round {round}");
    }
    println!("rounds without and with a login after the removal: {met:?}");
}

/// Once a block is answered, nothing of the device lives, whatever logins were under way.
#[tokio::test]
async fn i_1_i_11_no_login_outlives_a_block_that_it_raced() {
    let stack = Stack::builder().with_environments(6).start().await;
    let mut met = BTreeMap::new();
    for round in 0..30 {
        let user = format!("user-{round}");
        login(&stack, &user).await.expect(201);
        let path = format!("/users/{user}/devices/phone");
        let block = stack.app.request("PATCH", &path).json(&json!({ "trust": "blocked" }));
        let logins = join_all((0..4).map(|_| login(&stack, &user)));
        let (answers, blocked) = tokio::join!(logins, block.send());
        blocked.expect(200);
        for (outcome, count) in tally(&answers) {
            *met.entry(outcome).or_insert(0) += count;
        }
        assert_eq!(living(&stack, &answers).await, 0, "round {round}");
        let listed = stack.app.list(&user).await.expect(200).json();
        assert_eq!(listed["sessions"], json!([]), "round {round}");
    }
    let expected = [(201, String::new()), (403, "device_blocked".to_owned()), (409, "session_changed".to_owned())];
    assert!(met.keys().all(|outcome| expected.contains(outcome)), "{met:?}");
    println!("logins that raced a block: {met:?}");
}

/// The login has registered the device and not yet heard of it when the device is removed: the script refuses what it read,
/// and the session that it gets lies on a device that is registered anew.
#[tokio::test]
async fn i_11_a_login_that_read_a_device_before_its_removal_reads_it_again() {
    let stack = Stack::builder().with_environments(1).with_moto_proxy().start().await;
    login(&stack, "warm").await.expect(201);
    stack.app.request("DELETE", "/users/warm/devices/phone").send().await.expect(204);
    let before = registered(&stack).await;
    stack.moto_proxy().delay(Duration::ZERO, Duration::from_millis(300));
    let removal = async {
        eventually("the device is registered", async || (registered(&stack).await > before).then_some(())).await;
        let environment = stack.environment("create-session", 0).await;
        environment.freeze().await;
        stack.moto_proxy().delay(Duration::ZERO, Duration::ZERO);
        stack.app.request("DELETE", "/users/ada/devices/phone").send().await.expect(204);
        environment.thaw();
    };
    let (answer, ()) = tokio::join!(login(&stack, "ada"), removal);
    assert_eq!(living(&stack, &[answer.expect(201)]).await, 1);
    stack.app.request("GET", "/users/ada/devices/phone").send().await.expect(200);
    stack.app.request("DELETE", "/users/ada/devices/phone").send().await.expect(204);
    assert_eq!(stack.app.list("ada").await.expect(200).json()["sessions"], json!([]));
}

/// Devices in the table that are not removed.
async fn registered(stack: &Stack) -> usize {
    let scan = stack.aws.dynamodb.scan().table_name(&stack.aws.tables.devices).consistent_read(true).send();
    scan.await.expect("Scan succeeds").items().iter().filter(|item| item.contains_key("firstSeenAt")).count()
}

const OF_TYPE: usize = 2;
const LOGINS: usize = 100;

/// T-67: logins of two kinds at once; neither the limit of the kind nor that of the user is passed.
#[tokio::test]
async fn t_67_i_4_parallel_logins_keep_the_limit_of_a_type() {
    for on_limit in ["reject", "evict_oldest"] {
        let policy = json!({
            "sessionLimit": { "max": 5, "onLimit": on_limit },
            "deviceTypes": { "tv": { "sessionLimit": { "max": OF_TYPE, "onLimit": on_limit } } },
        });
        let stack = Stack::builder().with_policy(policy).with_environments(12).start().await;
        let logins = (0..LOGINS).map(|login| {
            let kind = if login % 2 == 0 { "tv" } else { "phone" };
            stack.app.create_session(json!({ "userId": "ada", "device": { "type": kind } }))
        });
        let answers = join_all(logins).await;
        let listed = stack.app.list("ada").await.expect(200).json();
        let sessions = listed["sessions"].as_array().expect("a list");
        let of_type = sessions.iter().filter(|session| session["device"]["type"] == "tv").count();
        assert!(of_type <= OF_TYPE, "{of_type} televisions");
        assert_eq!(sessions.len(), 5, "{on_limit}");
        let evicted: usize = answers
            .iter()
            .filter(|a| a.status == 201)
            .map(|a| a.json()["evicted"].as_array().map_or(0, Vec::len))
            .sum();
        let admitted = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(admitted - evicted, 5, "{on_limit}: {:?}", tally(&answers));
        assert_eq!(admitted == LOGINS, on_limit != "reject");
    }
}
