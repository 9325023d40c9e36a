//! A session server of axum, tower-sessions and its Redis store: `bench-tower-sessions default|best REDIS_URL PORT`.
//!
//! `POST /` begins a session with the JSON body as its data, `GET /` answers with the data of the session.
//! `default`: expiry on inactivity, saved with every request, as the documentation of the store shows it.
//! `best`: saved only when modified, which is what a read needs at least.

use axum::extract::Json;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

const DATA: &str = "data";

async fn begin(session: Session, Json(data): Json<Value>) -> Result<StatusCode, StatusCode> {
    session.insert(DATA, data).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::CREATED)
}

async fn read(session: Session) -> Result<Json<Value>, StatusCode> {
    match session.get::<Value>(DATA).await {
        Ok(Some(data)) => Ok(Json(data)),
        Ok(None) => Err(StatusCode::UNAUTHORIZED),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or_else(|| format!("missing: {name}"));
    let (mode, url, port) = (argument("mode")?, argument("REDIS_URL")?, argument("PORT")?.parse::<u16>()?);
    let always = match mode.as_str() {
        "default" => true,
        "best" => false,
        other => return Err(format!("unknown mode: {other}").into()),
    };
    let pool = Pool::new(Config::from_url(&url)?, None, None, None, 1)?;
    pool.connect();
    pool.wait_for_connect().await?;
    let layer = SessionManagerLayer::new(RedisStore::new(pool))
        .with_secure(false)
        .with_always_save(always)
        .with_expiry(Expiry::OnInactivity(Duration::days(1)));
    let router = axum::Router::new().route("/", get(read).post(begin)).layer(layer);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
