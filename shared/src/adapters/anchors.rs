//! Where anchors lie: a bucket under Object Lock, or a folder. An anchor is written once and never replaced.

use crate::config::AnchorLocation;
use crate::error::{Dependency, Error, Result};
use crate::limits::ANCHOR_BYTES_MAX;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A series of anchors.
pub enum AnchorStore {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and the prefix of the names in it.
    Bucket {
        /// S3.
        client: Client,
        /// Its name.
        bucket: String,
        /// Empty, or ends with a slash.
        prefix: String,
    },
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored,
    /// There is one with this number already; it stays as it is.
    Exists,
}

impl AnchorStore {
    /// The series at a location; `client` is asked for when it is a bucket.
    pub fn new(location: &AnchorLocation, client: impl FnOnce() -> Client) -> Self {
        match location {
            AnchorLocation::Folder(folder) => AnchorStore::Folder(folder.clone()),
            AnchorLocation::Bucket { bucket, prefix } => {
                AnchorStore::Bucket { client: client(), bucket: bucket.clone(), prefix: prefix.clone() }
            }
        }
    }

    /// Stores an anchor, unless there is one with this number.
    pub async fn put(&self, number: u64, document: &str) -> Result<Put> {
        match self {
            AnchorStore::Folder(folder) => put_file(folder, number, document).await.map_err(away),
            AnchorStore::Bucket { client, bucket, prefix } => {
                let sent = client
                    .put_object()
                    .bucket(bucket)
                    .key(format!("{prefix}{}", name(number)))
                    .content_type("application/json")
                    .if_none_match("*")
                    .body(ByteStream::from(document.as_bytes().to_vec()))
                    .send()
                    .await;
                match sent {
                    Ok(_) => Ok(Put::Stored),
                    // 412: it is there. 409: somebody else is writing it at this very moment.
                    Err(error) if matches!(status(&error), Some(412 | 409)) => Ok(Put::Exists),
                    Err(error) => Err(away(DisplayErrorContext(&error))),
                }
            }
        }
    }

    /// Reads an anchor; `None` when there is none with this number.
    pub async fn get(&self, number: u64) -> Result<Option<Vec<u8>>> {
        match self {
            AnchorStore::Folder(folder) => match tokio::fs::read(folder.join(name(number))).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(away(error)),
            },
            AnchorStore::Bucket { client, bucket, prefix } => {
                let key = format!("{prefix}{}", name(number));
                let object = match client.get_object().bucket(bucket).key(key).send().await {
                    Ok(object) => object,
                    Err(error) if status(&error) == Some(404) => return Ok(None),
                    Err(error) => return Err(away(DisplayErrorContext(&error))),
                };
                if object.content_length().is_none_or(|length| length > ANCHOR_BYTES_MAX) {
                    return Err(away("an object of this size is no anchor"));
                }
                let body = object.body.collect().await.map_err(away)?;
                Ok(Some(body.into_bytes().to_vec()))
            }
        }
    }

    /// The highest number there is. Names sort by number, so the search begins at `hint`; when nothing is there, the
    /// hint was wrong and everything is looked through.
    pub async fn last(&self, hint: u64) -> Result<Option<u64>> {
        match self {
            AnchorStore::Folder(folder) => Ok(numbers(folder).await.map_err(away)?.last().copied()),
            AnchorStore::Bucket { client, bucket, prefix } => {
                let mut after = hint.checked_sub(1).map(|number| format!("{prefix}{}", name(number)));
                let mut last = None;
                loop {
                    let page = client.list_objects_v2().bucket(bucket).prefix(prefix).set_start_after(after.clone());
                    let page = page.send().await.map_err(|error| away(DisplayErrorContext(&error)))?;
                    let keys: Vec<&str> = page.contents().iter().filter_map(|object| object.key()).collect();
                    last = keys.iter().filter_map(|key| number(key.strip_prefix(prefix.as_str())?)).max().max(last);
                    match (keys.last(), page.is_truncated()) {
                        (Some(key), Some(true)) => after = Some((*key).to_owned()),
                        _ if last.is_none() && after.is_some() => after = None,
                        _ => return Ok(last),
                    }
                }
            }
        }
    }
}

/// The numbers of the anchors in a folder, in their order. A folder that is not there yet has none.
pub async fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        numbers.extend(entry.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Written aside first, then linked: under its name there is the whole of it or nothing, and a link replaces nothing.
async fn put_file(folder: &Path, number: u64, document: &str) -> std::io::Result<Put> {
    tokio::fs::create_dir_all(folder).await?;
    let aside = folder.join(format!(".{}.{}", name(number), std::process::id()));
    tokio::fs::write(&aside, document).await?;
    let linked = tokio::fs::hard_link(&aside, folder.join(name(number))).await;
    tokio::fs::remove_file(&aside).await?;
    match linked {
        Ok(()) => Ok(Put::Stored),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Exists),
        Err(error) => Err(error),
    }
}

/// The name of an anchor.
fn name(number: u64) -> String {
    format!("{number:012}.json")
}

/// The number in a name.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    digits.parse().ok().filter(|number| self::name(*number) == name)
}

fn away(detail: impl std::fmt::Display) -> Error {
    Error::unavailable(Dependency::Anchors, detail)
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_takes_each_number_once() {
        let folder = std::env::temp_dir().join(format!("anchors-{}", std::process::id()));
        let store = AnchorStore::Folder(folder.clone());
        assert_eq!((store.last(0).await, store.get(1).await), (Ok(None), Ok(None)));
        assert_eq!(store.put(9, "nine").await, Ok(Put::Stored));
        assert_eq!(store.put(10, "ten").await, Ok(Put::Stored));
        assert_eq!(store.put(9, "another").await, Ok(Put::Exists));
        std::fs::write(folder.join("11.json"), "no anchor").expect("a file");
        assert_eq!((store.last(3).await, store.get(9).await), (Ok(Some(10)), Ok(Some(b"nine".to_vec()))));
        std::fs::remove_dir_all(folder).expect("the folder goes");
    }
}
