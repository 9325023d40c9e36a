//! A private certificate authority for servers on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of a server certificate for 127.0.0.1 and localhost.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority, to be trusted by clients.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a server certificate in `directory`, with openssl(1).
    pub fn create(directory: &Path) -> Self {
        let extensions = directory.join("server.ext");
        std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
            .expect("the extension file can be written");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority =
            ["-x509", "-days", "3650", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
        let request = ["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
        openssl(directory, &[&["req"], &key[..], &authority].concat());
        openssl(directory, &[&["req"], &key[..], &request].concat());
        let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let leaf = ["-days", "3650", "-extfile", "server.ext", "-out", "server.pem"];
        openssl(directory, &[&sign[..], &leaf].concat());
        Self {
            authority: directory.join("ca.pem"),
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        }
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
