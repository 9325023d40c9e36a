//! Related applications at one session at once. T-10, T-61, I-2.

use std::collections::BTreeSet;

use futures::future::join_all;
use integration_tests::application::SessionTokens;
use integration_tests::{Application, Stack, json};

use super::{refresh, refresh_token, tally};

async fn related(stack: &Stack, count: usize) -> Vec<Application> {
    let scopes = ["sessions:create", "sessions:read", "sessions:write"];
    let group = &stack.app.record["groupId"];
    let new = |index| json!({ "name": format!("Related {index}"), "scopes": scopes, "groupId": group });
    join_all((0..count).map(|index| stack.create_application(new(index)))).await
}

async fn code(stack: &Stack, session: &str, target: &Application) -> String {
    let request = stack.app.request("POST", &format!("/sessions/{session}/share"));
    let shared = request.json(&json!({ "applicationId": target.id })).send().await.expect(201).json();
    shared["code"].as_str().expect("a code").to_owned()
}

/// Six applications refresh and change one session side by side: no family loses its place, no change is lost.
#[tokio::test]
async fn t_10_families_do_not_clobber_each_other() {
    let stack = Stack::builder().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let id = session.session_id.clone();
    let mut parties = vec![(stack.app.clone(), session.refresh_token.clone())];
    for app in related(&stack, 5).await {
        let code = code(&stack, &id, &app).await;
        let taken = app.request("POST", "/sessions/redeem").json(&json!({ "code": code })).send().await;
        parties.push((app, SessionTokens::from_created(&taken).refresh_token));
    }
    let runs = parties.into_iter().enumerate().map(|(number, (app, first))| {
        let (stack, id) = (&stack, &id);
        async move {
            let mut token = first;
            for round in 0..6 {
                let twice = join_all((0..3).map(|_| refresh(stack, id, &token))).await;
                assert!(twice.iter().all(|answer| answer.status == 200), "{number} {round}: {:?}", tally(&twice));
                let next: BTreeSet<String> = twice.iter().map(refresh_token).collect();
                assert_eq!(next.len(), 1, "I-2: {number} {round}");
                token = next.into_iter().next().expect("one");
                loop {
                    let field = format!("app{number}");
                    let patch = app.patch(id, "*", json!({ "data": { field: round } })).await;
                    if patch.status == 200 {
                        break;
                    }
                    patch.expect_problem(409, "session_changed");
                }
            }
            (app, token)
        }
    });
    let ends = join_all(runs).await;
    let read = stack.app.get(&id).await.expect(200).json();
    for number in 0..6 {
        assert_eq!(read["data"][format!("app{number}")], 5, "{read}");
    }
    assert_eq!(read["version"], 37);
    for (app, token) in ends {
        app.refresh(&id, &token).await.expect(200);
    }
}

#[tokio::test]
async fn t_61_a_code_redeemed_in_parallel_begins_one_family() {
    let stack = Stack::builder().with_environments(12).start().await;
    let app = related(&stack, 1).await.remove(0);
    let session = stack.app.start_session("ada").await;
    let code = code(&stack, &session.session_id, &app).await;
    let body = json!({ "code": code });
    let answers = join_all((0..50).map(|_| app.request("POST", "/sessions/redeem").json(&body).send())).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(won.len(), 1, "{:?}", tally(&answers));
    assert_eq!(tally(&answers).get(&(404, "not_found".to_owned())), Some(&49), "{:?}", tally(&answers));
    let taken = SessionTokens::from_created(won[0]);
    app.refresh(&session.session_id, &taken.refresh_token).await.expect(200);
}
