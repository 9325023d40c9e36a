//! Files of the repository, for the other modules.

use integration_tests::settings;
use std::path::{Path, PathBuf};

/// Built, installed or generated: not ours to check.
const OTHERS: [&str; 6] = ["target", ".git", ".dev", ".aws-sam", "__pycache__", "node_modules"];

pub(crate) fn root() -> PathBuf {
    Path::new(settings::PACKAGE_DIR).parent().expect("the repository").to_owned()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names in a folder of the repository, sorted.
pub(crate) fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{error}"));
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string().ok();
    let mut names: Vec<_> = entries.filter_map(name).filter(|name| !OTHERS.contains(&name.as_str())).collect();
    names.sort();
    names
}

/// Every text file with its path from the root.
pub(crate) fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(Path::new(""), &mut found);
    assert!(found.len() > 100, "the repository was not found");
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    for name in names(folder) {
        let path = folder.join(name);
        match root().join(&path).is_dir() {
            true => walk(&path, found),
            false => {
                if let Ok(text) = std::fs::read_to_string(root().join(&path)) {
                    found.push((path.display().to_string(), text));
                }
            }
        }
    }
}
