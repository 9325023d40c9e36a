use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http1::SendRequest;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use integration_tests::json;
use integration_tests::runtime_api::{Invocation, Outcome, RuntimeApi};
use tokio::net::TcpStream;

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

async fn client(api: &RuntimeApi) -> SendRequest<Body> {
    let stream = TcpStream::connect(api.authority()).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(format!("/2018-06-01/runtime/{path}")).header("host", "runtime")
}

fn full(text: &str) -> Body {
    Full::from(text.to_owned()).boxed()
}

fn invocation(request_id: &str) -> Invocation {
    Invocation {
        request_id: request_id.to_owned(),
        payload: Bytes::from_static(b"{\"a\":1}"),
        deadline_ms: 1_234,
        trace_id: "Root=1".to_owned(),
    }
}

async fn take(client: &mut SendRequest<Body>) -> (HeaderMap, Bytes) {
    let response = client.send_request(request("GET", "invocation/next").body(full("")).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn an_invocation_waits_for_a_poll_and_returns_its_response() {
    let api = RuntimeApi::start("f").await;
    let outcome = api.submit(invocation("r1"));
    assert_eq!((api.connections(), api.polls(), api.invocations()), (0, 0, 0));
    let mut client = client(&api).await;
    let (headers, event) = take(&mut client).await;
    assert_eq!(event, "{\"a\":1}");
    assert_eq!(headers["lambda-runtime-aws-request-id"], "r1");
    assert_eq!(headers["lambda-runtime-deadline-ms"], "1234");
    assert_eq!(headers["lambda-runtime-trace-id"], "Root=1");
    assert!(headers["lambda-runtime-invoked-function-arn"].to_str().unwrap().ends_with(":function:f"));
    let posted =
        client.send_request(request("POST", "invocation/r1/response").body(full("[1]")).unwrap()).await.unwrap();
    assert_eq!(posted.status(), StatusCode::ACCEPTED);
    assert!(matches!(outcome.await.unwrap(), Outcome::Response { body, .. } if body == "[1]"));
    assert_eq!((api.connections(), api.polls(), api.invocations()), (1, 1, 1));
}

#[tokio::test]
async fn a_poll_waits_for_an_invocation() {
    let api = RuntimeApi::start("f").await;
    let mut client = client(&api).await;
    let mut polling = Box::pin(take(&mut client));
    let mut first_poll = api.first_poll();
    tokio::select! {
        _ = &mut polling => panic!("nothing was submitted"),
        seen = first_poll.wait_for(Option::is_some) => drop(seen.unwrap()),
    }
    let _outcome = api.submit(invocation("r1"));
    assert_eq!(polling.await.0["lambda-runtime-aws-request-id"], "r1");
}

#[tokio::test]
async fn a_streamed_response_is_joined() {
    let api = RuntimeApi::start("f").await;
    let outcome = api.submit(invocation("r1"));
    let mut client = client(&api).await;
    take(&mut client).await;
    let pieces = ["one ", "two ", "three"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
    let streamed = request("POST", "invocation/r1/response")
        .header("lambda-runtime-function-response-mode", "streaming")
        .header("transfer-encoding", "chunked")
        .body(StreamBody::new(futures::stream::iter(pieces)).boxed())
        .unwrap();
    client.send_request(streamed).await.unwrap();
    let outcome = outcome.await.unwrap();
    assert!(matches!(outcome, Outcome::Response { body, streaming: true, .. } if body == "one two three"));
}

#[tokio::test]
async fn a_stream_that_fails_after_its_first_byte_is_an_error() {
    let api = RuntimeApi::start("f").await;
    let outcome = api.submit(invocation("r1"));
    let mut client = client(&api).await;
    take(&mut client).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("lambda-runtime-function-error-type", "Late".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from("partial"))), Ok(Frame::trailers(trailers))];
    let streamed = request("POST", "invocation/r1/response")
        .header("transfer-encoding", "chunked")
        .header("trailer", "lambda-runtime-function-error-type")
        .body(StreamBody::new(futures::stream::iter(frames)).boxed())
        .unwrap();
    client.send_request(streamed).await.unwrap();
    assert!(matches!(outcome.await.unwrap(), Outcome::Error(error) if error["errorType"] == "Late"));
}

#[tokio::test]
async fn errors_of_invocation_and_initialisation_are_told_apart() {
    let api = RuntimeApi::start("f").await;
    let outcome = api.submit(invocation("r1"));
    let mut client = client(&api).await;
    take(&mut client).await;
    let body = json!({ "errorType": "Broken", "errorMessage": "why" });
    client.send_request(request("POST", "invocation/r1/error").body(full(&body.to_string())).unwrap()).await.unwrap();
    assert!(matches!(outcome.await.unwrap(), Outcome::Error(error) if error == body));
    assert!(api.init_error().borrow().is_none());
    client.send_request(request("POST", "init/error").body(full(&body.to_string())).unwrap()).await.unwrap();
    assert_eq!(*api.init_error().borrow(), Some(body));
}

#[tokio::test]
async fn a_response_nobody_waits_for_is_refused() {
    let api = RuntimeApi::start("f").await;
    let mut client = client(&api).await;
    let posted =
        client.send_request(request("POST", "invocation/none/response").body(full("")).unwrap()).await.unwrap();
    assert_eq!(posted.status(), StatusCode::FORBIDDEN);
}
