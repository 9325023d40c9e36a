//! What each function may do in PostgreSQL, tried over the connection that it makes.

use integration_tests::template::{Function, Template};
use integration_tests::{Stack, Value};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Who signs in as what.
const USERS: [(&str, &str); 9] = [
    ("cleanup-sessions", "sessions_owner"),
    ("erase-user", "sessions_eraser"),
    ("evaluate-alerts", "sessions_owner"),
    ("export-user", "sessions_reader"),
    ("migrate-database", "sessions_owner"),
    ("query-analytics", "sessions_reader"),
    ("query-audit", "sessions_reader"),
    ("verify-audit", "sessions_reader"),
    ("write-audit", "sessions_owner"),
];

fn text(value: &Value) -> &str {
    let text = value["Fn::Sub"].as_str().or_else(|| value["Fn::Sub"][0].as_str()).or_else(|| value.as_str());
    text.unwrap_or_default()
}

/// The users that the policies of a function let it sign in as.
fn allowed(function: &Function<'_>) -> Vec<String> {
    let policies = function.properties()["Policies"].as_array().into_iter().flatten();
    let statements = policies.flat_map(|policy| policy["Statement"].as_array().into_iter().flatten());
    let connects = statements.filter(|statement| statement["Action"].to_string().contains("rds-db:"));
    let resources = connects.flat_map(|statement| match &statement["Resource"] {
        Value::Array(several) => several.iter().map(text).collect(),
        one => vec![text(one)],
    });
    resources.map(|resource| resource.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

/// A function is told one user and may sign in as that one; the proxy may sign in as every user that has no password.
#[test]
fn functions_sign_in_as_the_users_that_they_may() {
    let template = Template::of_repository();
    let mut told = BTreeMap::new();
    for function in template.functions() {
        let url = function.variables().get("DATABASE_URL").map(|url| text(url).to_owned());
        let user = url.map(|url| url.split(['/', '@']).nth(2).unwrap_or_default().to_owned());
        assert_eq!(allowed(&function), Vec::from_iter(user.clone()), "{}", function.name());
        told.extend(user.map(|user| (function.name(), user)));
    }
    assert_eq!(told, USERS.map(|(function, user)| (function.to_owned(), user.to_owned())).into());
    let role = template.document()["Resources"]["DatabaseProxyRole"].to_string();
    let proxied =
        ["sessions_reader", "sessions_eraser", "sessions_owner"].map(|user| role.contains(&format!("/{user}\"")));
    assert_eq!(proxied, [true, true, false], "the owner has a password");
}

/// The URL that a running function was given.
async fn url_of(stack: &Stack, function: &str) -> String {
    let environment = stack.environment(function, 0).await;
    environment.ready().await.expect("it starts");
    let variables = std::fs::read(format!("/proc/{}/environ", environment.pid())).expect("its variables");
    let variables = String::from_utf8(variables).expect("text");
    let url = variables.split('\0').find_map(|pair| pair.strip_prefix("DATABASE_URL="));
    url.expect("a database").to_owned()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("it may sign in");
    tokio::spawn(connection);
    client
}

/// Why a statement is refused; `None` when it is not. Nothing of it stays.
async fn refusal(client: &Client, statement: &str) -> Option<SqlState> {
    client.batch_execute("BEGIN").await.expect("a transaction");
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("ROLLBACK").await.expect("a rollback");
    let error = outcome.err()?;
    Some(error.code().unwrap_or_else(|| panic!("{statement}: {error}")).clone())
}

async fn expect_refused(client: &Client, statement: &str) {
    assert_eq!(refusal(client, statement).await, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
}

async fn expect_allowed(client: &Client, statement: &str) {
    assert_eq!(refusal(client, statement).await, None, "{statement}");
}

/// Tables, partitions among them, and views, with a column of each.
async fn relations(owner: &Client) -> Vec<(String, String)> {
    let query = "SELECT relname::text, (SELECT attname::text FROM pg_attribute \
             WHERE attrelid = pg_class.oid AND attnum > 0 AND attgenerated = '' ORDER BY attnum LIMIT 1) \
         FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')";
    let rows = owner.query(query, &[]).await.expect("tables");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What nobody but the owner may do with any table.
async fn expect_no_changes(client: &Client, tables: &[(String, String)], deletes: &[&str]) {
    for (table, column) in tables {
        for statement in [
            format!("INSERT INTO {table} DEFAULT VALUES"),
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("LOCK TABLE {table} IN EXCLUSIVE MODE"),
            format!("SELECT FROM {table} FOR UPDATE"),
        ] {
            let allowed = deletes.contains(&table.as_str());
            if !(allowed && (statement.starts_with("DELETE") || statement.starts_with("LOCK"))) {
                let refused = refusal(client, &statement).await;
                // A view that can not be changed at all says so first, and has no rows to lock.
                let impossible = [
                    SqlState::WRONG_OBJECT_TYPE,
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    SqlState::FEATURE_NOT_SUPPORTED,
                ];
                let view = table == "audit_dump" && refused.as_ref().is_some_and(|code| impossible.contains(code));
                assert!(view || refused == Some(SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {refused:?}");
            }
        }
    }
    for statement in [
        "DROP TABLE audit_events",
        "ALTER TABLE audit_events ADD COLUMN more text",
        "CREATE TABLE more (more text)",
        "CREATE TEMPORARY TABLE more (more text)",
        "CREATE SCHEMA more",
        "CREATE ROLE more",
        "SET ROLE sessions_owner",
        "SELECT audit_ensure_partition(current_date)",
        "SELECT audit_drop_before(current_date)",
        "SELECT activity_drop_before(current_date)",
        "SELECT rollup_forget(now(), now())",
    ] {
        expect_refused(client, statement).await;
    }
}

#[tokio::test]
async fn readers_can_not_write() {
    let stack = Stack::builder().with_database().start().await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    let owner = stack.database().connect().await;
    let tables = relations(&owner).await;
    assert!(tables.len() > 15, "{tables:?}");
    for (function, user) in USERS.iter().filter(|(_, user)| *user == "sessions_reader") {
        let reader = connect(&url_of(&stack, function).await).await;
        let name: String = reader.query_one("SELECT current_user::text", &[]).await.expect("a name").get(0);
        assert_eq!(&name, user, "{function}");
        let seen = reader.query_one("SELECT count(*) FROM audit_events", &[]).await.expect("it reads").get::<_, i64>(0);
        assert_eq!(seen, 1, "{function}");
        expect_no_changes(&reader, &tables, &[]).await;
        expect_refused(&reader, "SELECT audit_wait_for_drainer(0::smallint)").await;
        expect_refused(&reader, "SELECT FROM refinery_schema_history").await;
    }
    // A table that comes later is read, and not written either.
    owner.batch_execute("CREATE TABLE later (more text)").await.expect("a table");
    let reader = connect(&url_of(&stack, "query-audit").await).await;
    expect_allowed(&reader, "SELECT more FROM later").await;
    expect_refused(&reader, "INSERT INTO later VALUES ('x')").await;
}

/// Erasing counts what is held and deletes activities, and can neither read nor change anything else.
#[tokio::test]
async fn the_eraser_can_erase_and_nothing_else() {
    let stack = Stack::builder().with_database().start().await;
    stack.app.start_session("ada").await;
    stack.run_write_audit().await;
    let owner = stack.database().connect().await;
    let tables = relations(&owner).await;
    let eraser = connect(&url_of(&stack, "erase-user").await).await;
    expect_no_changes(&eraser, &tables, &["activity"]).await;
    for (table, _) in &tables {
        expect_refused(&eraser, &format!("SELECT * FROM {table}")).await;
    }
    let columns: BTreeSet<String> = {
        let query = "SELECT table_name || '.' || column_name FROM information_schema.column_privileges \
             WHERE grantee = 'sessions_eraser'";
        let rows = owner.query(query, &[]).await.expect("privileges");
        rows.iter().map(|row| row.get(0)).collect()
    };
    let expected = ["activity.subject", "audit_events.sealed", "audit_events.subject"];
    assert_eq!(columns, expected.map(str::to_owned).into());
    expect_allowed(&eraser, "SELECT count(*) FROM audit_events WHERE subject = '' AND sealed IS NOT NULL").await;
    expect_allowed(&eraser, "DELETE FROM activity WHERE subject = 'x'").await;
    expect_allowed(&eraser, "SELECT audit_wait_for_drainer(0::smallint)").await;
    // It does wait: while a drainer holds the chain, no answer comes.
    owner.batch_execute("BEGIN; SELECT FROM audit_chain_heads WHERE chain_group = 7 FOR UPDATE").await.expect("a lock");
    eraser.batch_execute("SET lock_timeout = '50ms'").await.expect("a setting");
    let waited = refusal(&eraser, "SELECT audit_wait_for_drainer(7::smallint)").await;
    assert_eq!(waited, Some(SqlState::LOCK_NOT_AVAILABLE));
    expect_allowed(&eraser, "SELECT audit_wait_for_drainer(8::smallint)").await;
}
