//! Where the harness finds the machine's services: environment variables, all read here.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `TEST_FUNCTIONS_DIR` | folder of the function binaries | `../target/debug` beside this package |
//! | `TEST_LOG_DIR` | logs of the functions and the list of issued secrets | a new temporary folder |
//! | `TEST_REDIS_SERVER` | the `redis-server` binary | `redis-server` on the path |
//! | `TEST_REDIS_CLUSTER_URLS` | nodes of a shared Redis Cluster, separated by commas | none |
//! | `TEST_DATABASE_ADMIN_URL` | PostgreSQL URL of a role that may create databases | none |
//! | `TEST_DATABASE_PASSWORD` | password of the users that functions sign in as | none |
//! | `TEST_DATABASE_CA_FILE` | authority of that server's certificate | none |
//! | `TEST_POSTGRES_BIN` | folder of PostgreSQL's programs, for servers that a fault may stop | the path |
//! | `TEST_MOTO_URL` | moto server (DynamoDB and KMS) | none |
//! | `TEST_CLIENTS_DIR` | folder of the `node_modules` that the standard clients use | `../.dev/clients` beside this package |
//! | `TEST_BROWSER_DIR` | folder of the `node_modules` that the browser tests use | `../.dev/browser` beside this package |
//! | `TEST_FAKETIME_LIBRARY` | the `libfaketime` shared library | none |

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Folder of this package.
pub const PACKAGE_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// Folder that holds the function binaries.
pub fn functions_dir() -> PathBuf {
    std::env::var_os("TEST_FUNCTIONS_DIR").map_or_else(|| Path::new(PACKAGE_DIR).join("../target/debug"), PathBuf::from)
}

/// Folder of the packages that the standard clients use.
pub fn clients_dir() -> PathBuf {
    std::env::var_os("TEST_CLIENTS_DIR").map_or_else(|| Path::new(PACKAGE_DIR).join("../.dev/clients"), PathBuf::from)
}

/// Folder of the packages that the browser tests use.
pub fn browser_dir() -> PathBuf {
    std::env::var_os("TEST_BROWSER_DIR").map_or_else(|| Path::new(PACKAGE_DIR).join("../.dev/browser"), PathBuf::from)
}

/// Folder of every log of this test process.
pub fn log_dir() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = match std::env::var_os("TEST_LOG_DIR") {
            Some(given) => PathBuf::from(given),
            None => {
                tempfile::Builder::new().prefix("session-tests-").tempdir().expect("a temporary folder for logs").keep()
            }
        };
        std::fs::create_dir_all(&directory).expect("TEST_LOG_DIR can be created");
        directory
    });
    &DIRECTORY
}

/// The `redis-server` binary.
pub fn redis_server() -> PathBuf {
    std::env::var_os("TEST_REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from)
}

/// Nodes of the shared Redis Cluster.
pub fn redis_cluster_urls() -> Vec<String> {
    required("TEST_REDIS_CLUSTER_URLS")
        .split(',')
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
        .collect()
}

/// PostgreSQL as a role that may create databases.
pub fn database_admin_url() -> String {
    required("TEST_DATABASE_ADMIN_URL")
}

/// Password of the users that functions sign in as.
pub fn database_password() -> String {
    required("TEST_DATABASE_PASSWORD")
}

/// Folder of PostgreSQL's programs; empty for those on the path.
pub fn postgres_bin() -> PathBuf {
    std::env::var_os("TEST_POSTGRES_BIN").map_or_else(PathBuf::new, PathBuf::from)
}

/// Authority of the PostgreSQL server's certificate.
pub fn database_ca_file() -> PathBuf {
    required("TEST_DATABASE_CA_FILE").into()
}

/// Base URL of moto.
pub fn moto_url() -> String {
    required("TEST_MOTO_URL").trim_end_matches('/').to_owned()
}

/// The `libfaketime` shared library.
pub fn faketime_library() -> PathBuf {
    required("TEST_FAKETIME_LIBRARY").into()
}

/// `template.yaml` of the repository.
pub fn template_file() -> PathBuf {
    Path::new(PACKAGE_DIR).join("../template.yaml")
}

fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: the test services are not running (see README.md, Tests)"))
}

/// `bytes` random bytes in lower-case hexadecimal.
pub fn random_hex(bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}

/// A loopback port that nothing listens on.
///
/// Taken below the range from which the kernel picks the ports of outgoing connections, so that a server which stops
/// and comes back on the same port does not find it taken by a client.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = rand::random_range(10_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free loopback port found");
}
