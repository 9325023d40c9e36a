//! A bucket that has left, for those who know nothing of a move.

use integration_tests::stores::{RedisOptions, RedisServer};
use integration_tests::{Environment, Stack, json};
use shared::core::id::SessionId;

use super::{job, move_until_nothing_is_left, names, run_of};
use crate::repository::files;

const FOLDER: &str = "shared/src/adapters/redis/scripts";
/// What the job itself runs, and what is no script of its own.
const WITHOUT: [&str; 5] = ["record.lua", "take.lua", "mark.lua", "restore.lua", "digest.lua"];

/// The state byte of a tombstone.
const ENDED: u8 = 2;

/// No script does anything in a bucket that is being moved or was, whatever it is asked.
#[tokio::test]
async fn every_script_is_held_back() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    let prelude = files::read(format!("{FOLDER}/record.lua"));
    let scripts: Vec<String> = files::names(FOLDER)
        .into_iter()
        .filter(|name| name.ends_with(".lua") && !WITHOUT.contains(&name.as_str()))
        .collect();
    assert!(scripts.len() > 20, "{scripts:?}");
    for (marker, code) in [("moving 7", "BUCKETMOVING"), ("moved", "BUCKETMOVED")] {
        let _: () = redis::cmd("SET").arg("m:{b0a7}").arg(marker).query_async(&mut connection).await.expect("a marker");
        for name in &scripts {
            let text = prelude.clone() + &files::read(format!("{FOLDER}/{name}"));
            let mut command = redis::cmd("EVAL");
            command.arg(text).arg(1).arg("s:{b0a7}:x");
            let refused = command.query_async::<redis::Value>(&mut connection).await.expect_err(name);
            assert_eq!(refused.code(), Some(code), "{name}: {refused:?}");
        }
    }
    assert_eq!(names(&server).await, [""; 0]);
}

/// Environments that were not told of the move answer 503, and never that there is no such session; they write nothing.
#[tokio::test]
async fn environments_that_do_not_know_of_the_move_serve_nothing_of_it() {
    let target = RedisServer::start(RedisOptions::default()).await;
    let stack = Stack::builder().with_database().start().await;
    let app = &stack.app;
    let session = app.start_session("ada").await;
    let mover = job(&stack, &target.url()).await;
    move_until_nothing_is_left(&mover).await;
    let id = &session.session_id;

    let own = stack.request("GET", &format!("/sessions/{id}")).bearer(&session.access_token).send().await;
    for answer in [
        app.get(id).await,
        own,
        app.list("ada").await,
        app.introspect(&session.access_token).await,
        app.refresh(id, &session.refresh_token).await,
        app.put(id, "\"1\"", json!({ "data": { "n": 1 } })).await,
        app.create_session(json!({ "userId": "ada" })).await,
    ] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
    }
    // An end is accepted, and waits for somebody who reaches the session.
    app.delete(id).await.expect(202);
    assert_eq!(names(stack.redis()).await, [""; 0]);

    let mut spec = stack.fleet.specification("cleanup-sessions", 0);
    spec.variables.push(("REDIS_MOVE_TO_URL".to_owned(), target.url()));
    let sweep = Environment::spawn(spec).await;
    sweep.invoke(&run_of(json!({ "firstBucket": 0, "lastBucket": 0 }))).await.unwrap_or_else(|error| panic!("{error}"));
    let id = SessionId::parse(id).expect("a session id");
    let record = target.dump_keys().await.into_iter().find(|key| key.name().ends_with(&id.key_text()));
    assert_eq!(record.expect("the record").content[0][1], ENDED);
}
