//! Every anchor of a folder, held to its signature and to the one before.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use shared::adapters::anchors::{AnchorStore, numbers};
use shared::core::audit_anchor::{Anchor, CHAINS, Head, point_of_spki};
use shared::core::audit_verify::{Walk, beginning};
use shared::core::retention::months_before;
use shared::core::time::Timestamp;
use std::path::Path;

/// What the anchors say.
pub struct Anchored {
    /// Anchors that hold.
    pub count: u64,
    /// The last of them.
    pub last: Option<Anchor>,
    /// The first anchor that does not hold, and why. What stands behind it is not believed.
    pub bad: Option<(u64, &'static str)>,
    heads: Vec<Vec<Head>>,
    /// Where the chains ended at the last anchor that is older than the floor.
    aged: Vec<Head>,
}

impl Anchored {
    /// A walk along a whole chain, which ends at `head` by what its database says.
    pub fn walk(&self, chain: i16, head: Head) -> Walk {
        let place = usize::try_from(chain).unwrap_or(usize::MAX);
        let signed = self.heads.get(place).cloned().unwrap_or_default();
        let removable = self.aged.get(place).map_or(0, |head| head.sequence);
        Walk::new(chain, beginning(), head, signed, removable)
    }
}

/// The public keys of a PEM file.
pub fn read_keys(file: &Path) -> Result<Vec<[u8; 65]>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(&pem).map(|key| point_of_spki(key.ok()?.as_ref()));
    let keys: Option<Vec<_>> = keys.collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| format!("{}: no public keys of P-256 in PEM", file.display()))
}

/// Reads the anchors in their order. The first may have any number: old ones are let go after years.
/// What is told of its age holds at `now`, or when the last one was signed, if that is later.
pub async fn load(
    folder: &Path,
    keys: &[[u8; 65]],
    stack: Option<&str>,
    floor_months: u32,
    now: Timestamp,
) -> Result<Anchored, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let store = AnchorStore::Folder(folder.to_owned());
    let mut anchored = Anchored { count: 0, last: None, bad: None, heads: vec![Vec::new(); CHAINS], aged: Vec::new() };
    let mut ends = Vec::new();
    for number in numbers(folder).await.map_err(|error| told(&error))? {
        let document = store.get(number).await.map_err(|error| told(&error))?.unwrap_or_default();
        let anchor = Anchor::decode(&document).filter(|anchor| anchor.statement.number == number);
        let problem = match &anchor {
            None => Some("it can not be read"),
            Some(anchor) if !anchor.holds(keys, stack) => Some("its signature does not hold"),
            Some(anchor) if anchored.last.is_some() && !anchor.follows(anchored.last.as_ref()) => {
                Some("it does not follow the one before")
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            anchored.bad = Some((number, problem));
            break;
        }
        for (heads, head) in anchored.heads.iter_mut().zip(anchor.iter().flat_map(|anchor| &anchor.heads)) {
            if head.sequence > heads.last().map_or(0, |last| last.sequence) {
                heads.push(*head);
            }
        }
        ends.extend(anchor.as_ref().and_then(|anchor| Some((anchor.signed_at()?, anchor.heads.clone()))));
        anchored.count += 1;
        anchored.last = anchor;
    }
    let latest = ends.last().map_or(now, |(signed_at, _)| now.max(*signed_at));
    let floor = months_before(latest, floor_months);
    let aged = ends.into_iter().rev().find(|(signed_at, _)| *signed_at <= floor);
    anchored.aged = aged.map(|(_, heads)| heads).unwrap_or_default();
    Ok(anchored)
}
