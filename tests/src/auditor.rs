//! An auditor with a copy of the anchors, the public key and a dump, who runs the offline command.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::{Stack, settings};

/// What the auditor has been handed.
pub struct Auditor {
    folder: TempDir,
    database_url: String,
    stack: String,
}

/// What the command said: how it ended, and its one line.
pub type Verdict = (i32, String);

impl Auditor {
    /// Hands the auditor key and anchors of a stack as they are now.
    pub async fn of(stack: &Stack) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = stack.aws.kms.get_public_key().key_id(&stack.aws.anchor_key_id).send().await.expect("a public key");
        let der = STANDARD.encode(key.public_key.expect("its bytes"));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        std::fs::write(folder.path().join("key.pem"), pem).expect("a file");
        std::fs::create_dir(folder.path().join("anchors")).expect("a folder");
        let auditor = Self { folder, database_url: stack.database().url(), stack: stack.name.clone() };
        for (name, document) in anchors(stack).await {
            std::fs::write(auditor.anchors().join(name), document).expect("a file");
        }
        auditor
    }

    /// Hands an auditor copies of what another one once got: key, anchors and dump.
    pub fn with_copies(of: &Path, stack: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(of, folder.path());
        Self { folder, database_url: String::new(), stack: stack.to_owned() }
    }

    /// Copies what the auditor has to another place.
    pub fn copy_to(&self, folder: &Path) {
        copy(self.folder.path(), folder);
    }

    /// The dump, once there is one.
    pub fn dump(&self) -> PathBuf {
        self.folder.path().join("audit.ndjson")
    }

    /// Folder of the copied anchors.
    pub fn anchors(&self) -> PathBuf {
        self.folder.path().join("anchors")
    }

    /// Verifies the database.
    pub async fn verify_database(&self) -> Verdict {
        self.run(&[]).await
    }

    /// Dumps the audit as the operations guide does, and verifies the dump.
    pub async fn verify_dump(&self, client: &Client) -> Verdict {
        std::fs::write(self.dump(), dump(client).await.join("\n") + "\n").expect("a file");
        self.verify_copy().await
    }

    /// Verifies the dump that is there.
    pub async fn verify_copy(&self) -> Verdict {
        self.run(&["--dump", self.dump().to_str().expect("a path")]).await
    }

    /// Runs the command with the key and the anchors, and these arguments besides.
    pub async fn run(&self, arguments: &[&str]) -> Verdict {
        let (key, anchors) = (self.folder.path().join("key.pem"), self.anchors());
        let output = tokio::process::Command::new(settings::functions_dir().join("audit-verify"))
            .env_clear()
            .env("DATABASE_URL", &self.database_url)
            .arg("--key")
            .arg(key)
            .arg("--anchors")
            .arg(anchors)
            .args(["--stack", &self.stack])
            .args(arguments)
            .output()
            .await
            .expect("the command runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("a code"), text.trim().to_owned())
    }
}

/// The lines of a dump, by the command of the operations guide.
pub async fn dump(client: &Client) -> Vec<String> {
    let query = "SELECT line FROM audit_dump ORDER BY chain_group, place, event_id COLLATE \"C\"";
    client.query(query, &[]).await.expect("a dump").iter().map(|row| row.get(0)).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy")),
        }
    }
}

/// Every anchor of a stack: name and document.
pub async fn anchors(stack: &Stack) -> Vec<(String, Vec<u8>)> {
    let (s3, bucket) = (&stack.aws.s3, &stack.aws.anchors_bucket);
    let listed = s3.list_objects_v2().bucket(bucket).send().await.expect("a list");
    let mut found = Vec::new();
    for object in listed.contents() {
        let key = object.key().expect("a key");
        let document = s3.get_object().bucket(bucket).key(key).send().await.expect("an object");
        let bytes = document.body.collect().await.expect("its bytes").into_bytes().to_vec();
        found.push((key.rsplit('/').next().expect("a name").to_owned(), bytes));
    }
    found
}
