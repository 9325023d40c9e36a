//! Installs the chart library of the pages, pinned by package-lock.json, for `include_bytes!`. Nothing of it is in the
//! repository, and nothing is fetched when a page is served.

use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

fn main() -> Result<(), Box<dyn Error>> {
    for list in LISTS {
        println!("cargo::rerun-if-changed={list}");
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for list in LISTS {
        fs::copy(list, folder.join(list))?;
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"].map(OsStr::new);
    let npm = Command::new("npm").args(arguments).arg(&folder).output();
    let output = npm.map_err(|error| {
        format!("npm does not start ({error}): install Node.js with npm, which bring the charts of the console")
    })?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stderr);
        return Err(format!("npm ci failed; it needs the Node package registry, or its cache:\n{printed}").into());
    }
    Ok(())
}
