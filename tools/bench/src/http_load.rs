//! Requests to HTTP servers over connections that stay open.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap};
use hyper::{Method, Request};
use tokio::net::TcpStream;

/// One connection to a server on this machine.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

/// What came back.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Connection {
    /// Connects; nothing while the server does not listen.
    pub async fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(hyper_util::rt::TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Connection { sender, authority: format!("127.0.0.1:{port}") })
    }

    /// Sends a request and waits for the whole answer.
    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header(CONTENT_LENGTH, body.len()).body(Full::new(Bytes::copy_from_slice(body)));
        let response = self.sender.send_request(request.expect("a request")).await.expect("the server answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }
}
