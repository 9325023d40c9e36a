use super::support::{Hook, Received};
use integration_tests::settings;
use integration_tests::stores::certificates::Certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use shared::adapters::outbound::{Failure, Message, Outbound};
use shared::core::receiver_url::Target;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn message() -> Message {
    Message { content_type: "application/json", headers: Vec::new(), body: "{\"secret\":\"body-canary\"}".into() }
}

fn target(secure: bool, host: &str, port: u16) -> Target {
    Target { secure, host: host.into(), port, path: "/".into() }
}

fn outbound(roots: RootCertStore, allow_loopback: bool) -> Outbound {
    Outbound::new(roots, allow_loopback).expect("a client")
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let pem = std::fs::read(file).expect("a file");
    CertificateDer::pem_slice_iter(&pem).map(|certificate| certificate.expect("a certificate")).collect()
}

/// A TLS server for 127.0.0.1 and localhost that answers once per connection; what it read goes into the channel.
async fn tls_server(files: &Certificates) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(&files.key).expect("a file")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(certificates(&files.certificate), key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a configuration")));
    let port = settings::free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.contains("body-canary") {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                }
            }
            let _ = sender.send(text);
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (port, receiver)
}

/// A receiver must prove its name to an authority that is trusted, before a byte of the message leaves.
#[tokio::test]
async fn only_a_trusted_certificate_of_the_right_name_gets_the_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::create(folder.path());
    let (port, mut read) = tls_server(&files).await;
    let mut trusted = RootCertStore::empty();
    for certificate in certificates(&files.authority) {
        trusted.add(certificate).expect("an authority");
    }
    let here = target(true, "127.0.0.1", port);
    assert_eq!(outbound(trusted.clone(), true).post(&here, message()).await, Ok(202));
    let request = read.recv().await.expect("a request");
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{request}");

    let public = outbound(Outbound::public_roots(), true);
    assert_eq!(public.post(&here, message()).await, Err(Failure::Untrusted));
    let elsewhere = target(true, "127.0.0.2", port);
    let moved = TcpListener::bind(("127.0.0.2", port)).await.expect("another loopback address");
    tokio::spawn(forward(moved, port));
    assert_eq!(outbound(trusted, true).post(&elsewhere, message()).await, Err(Failure::Untrusted), "another name");
    assert!(read.try_recv().is_err(), "nothing was sent");
}

async fn forward(listener: TcpListener, port: u16) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut upstream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the server");
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
    }
}

/// SSRF: a name that has come to stand for a private address since it was registered gets no connection.
#[tokio::test]
async fn a_name_that_leads_inside_gets_no_connection() {
    let hook = Hook::start().await;
    let port = hook.url().split([':', '/']).nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let strict = outbound(Outbound::public_roots(), false);
    for host in ["localhost", "127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1"] {
        assert_eq!(strict.post(&target(false, host, port), message()).await, Err(Failure::Private), "{host}");
    }
    assert_eq!(hook.received().len(), 0);
    let lenient = outbound(Outbound::public_roots(), true);
    assert_eq!(lenient.post(&target(false, "10.0.0.1", port), message()).await, Err(Failure::Private));
    assert_eq!(lenient.post(&target(false, "localhost", port), message()).await, Ok(200));
    let received: Vec<Received> = hook.received();
    assert_eq!(received.len(), 1);
}

/// A receiver's answer costs no more than its head: a body without end is not read, a head without end is refused.
#[tokio::test]
async fn answers_are_bounded() {
    let lenient = outbound(Outbound::public_roots(), true);
    let answers: [(&'static [u8], bool, Result<u16, Failure>); 4] = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, Ok(200)),
        (b"HTTP/1.1 200 OK\r\nx: ", true, Err(Failure::Broken)),
        (b"SSH-2.0-OpenSSH\r\n", false, Err(Failure::Broken)),
        (b"", false, Err(Failure::Broken)),
    ];
    for (head, endless, expected) in answers {
        let port = settings::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(head).await;
            while endless && stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        let posted = lenient.post(&target(false, "127.0.0.1", port), message()).await;
        assert_eq!(posted, expected, "{}", String::from_utf8_lossy(head));
        server.await.expect("the server ends");
    }
}
