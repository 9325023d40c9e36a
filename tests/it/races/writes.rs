//! Parallel writers of one session's data. T-69.

use std::collections::BTreeMap;

use futures::future::join_all;
use integration_tests::{Stack, json};

use super::tally;

#[tokio::test]
async fn t_69_of_parallel_writes_at_one_version_exactly_one_wins() {
    let stack = Stack::builder().with_environments(12).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let mut tag = session.etag.clone();
    for round in 0..12 {
        // The last rounds write nothing at all, which seals to nothing.
        let data = |writer: usize| if round < 9 { json!({ "round": round, "writer": writer }) } else { json!({}) };
        let answers = join_all((0..24).map(|writer| stack.app.put(id, &tag, json!({ "data": data(writer) })))).await;
        let expected =
            BTreeMap::from([((200, String::new()), 1), ((412, "version_mismatch".to_owned()), answers.len() - 1)]);
        assert_eq!(tally(&answers), expected, "round {round}");
        let winner = answers.iter().position(|answer| answer.status == 200).expect("one");
        let read = stack.app.get(id).await.expect(200);
        assert_eq!(read.json()["data"], data(winner), "round {round}");
        tag = read.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", round + 2));
    }
}

#[tokio::test]
async fn t_69_thirty_patching_loops_lose_nothing() {
    let stack = Stack::builder().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let writers = (0..30).map(|writer| {
        let stack = &stack;
        async move {
            let mut refused = 0;
            loop {
                let tag = stack.app.get(id).await.expect(200).header("etag").to_owned();
                let patch = json!({ "data": { format!("writer-{writer}"): writer } });
                let answer = stack.app.patch(id, &tag, patch).await;
                match answer.status {
                    200 => return refused,
                    412 => refused += 1,
                    _ => panic!("{answer:?}"),
                }
            }
        }
    });
    let refused: usize = join_all(writers).await.into_iter().sum();
    println!("{refused} patches met a newer version");
    assert!(refused > 0, "nothing raced");
    let read = stack.app.get(id).await.expect(200);
    let all: BTreeMap<String, usize> = (0..30).map(|writer| (format!("writer-{writer}"), writer)).collect();
    assert_eq!(read.json()["data"], json!(all));
    assert_eq!(read.header("etag"), "\"31\"");
}

/// `If-Match: *` never loses a change either: it is refused as retryable when another one came between.
#[tokio::test]
async fn t_69_unconditional_patches_lose_nothing() {
    let stack = Stack::builder().with_environments(8).start().await;
    let session = stack.app.start_session("ada").await;
    let id = &session.session_id;
    let writers = (0..30).map(|writer| {
        let stack = &stack;
        async move {
            loop {
                let answer = stack.app.patch(id, "*", json!({ "data": { format!("writer-{writer}"): writer } })).await;
                match (answer.status, answer.code().as_str()) {
                    (200, _) => return,
                    (409, "session_changed") => assert_eq!(answer.json()["retryable"], true),
                    _ => panic!("{answer:?}"),
                }
            }
        }
    });
    join_all(writers).await;
    let read = stack.app.get(id).await.expect(200);
    assert_eq!(read.json()["data"].as_object().map(serde_json::Map::len), Some(30), "{read:?}");
    assert_eq!(read.header("etag"), "\"31\"");
}
