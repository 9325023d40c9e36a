//! The command line.

use shared::limits::{AUDIT_RETENTION_FLOOR_MONTHS_DEFAULT, RETENTION_MONTHS_MAX};
use std::path::PathBuf;

const USAGE: &str = "audit-verify --key PUBLIC_KEY.pem --anchors FOLDER [--stack NAME] [--dump FILE] [--floor-months N]\n\
    Nothing younger than the floor, 3 months by default, may be gone. Without --dump it reads the database of DATABASE_URL. Ends with 0: intact, 1: not intact, 2: undecided.";

/// Where the chains are read from.
pub enum Source {
    /// A file of the view `audit_dump`.
    Dump(PathBuf),
    /// `DATABASE_URL`.
    Database,
}

/// What is asked for.
pub struct Arguments {
    /// PEM file of the public key, or several.
    pub key: PathBuf,
    /// Folder with the anchors.
    pub anchors: PathBuf,
    /// The stack that the anchors must be of.
    pub stack: Option<String>,
    /// The chains.
    pub source: Source,
    /// Months of audit that retention must have kept.
    pub floor_months: u32,
}

/// Reads the arguments; the error says how they go.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut key, mut anchors, mut stack, mut source) = (None, None, None, Source::Database);
    let mut floor_months = AUDIT_RETENTION_FLOOR_MONTHS_DEFAULT;
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--key" => key = Some(value.into()),
            "--anchors" => anchors = Some(value.into()),
            "--stack" => stack = Some(value),
            "--dump" => source = Source::Dump(value.into()),
            "--floor-months" => {
                let months = value.parse().ok().filter(|months| (1..=RETENTION_MONTHS_MAX).contains(months));
                floor_months = months.ok_or_else(|| format!("--floor-months must be 1 to {RETENTION_MONTHS_MAX}"))?;
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(Arguments { key: key.ok_or(USAGE)?, anchors: anchors.ok_or(USAGE)?, stack, source, floor_months })
}
