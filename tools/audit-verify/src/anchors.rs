//! Every anchor of a folder, held to its signature and to the one before.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use shared::adapters::anchors::{AnchorStore, numbers};
use shared::core::audit_anchor::{Anchor, CHAINS, Head, point_of_spki};
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
}

impl Anchored {
    /// What was signed of a chain, place by place.
    pub fn of_chain(&self, chain: i16) -> Vec<Head> {
        usize::try_from(chain).ok().and_then(|chain| self.heads.get(chain)).cloned().unwrap_or_default()
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
pub async fn load(folder: &Path, keys: &[[u8; 65]], stack: Option<&str>) -> Result<Anchored, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let store = AnchorStore::Folder(folder.to_owned());
    let mut anchored = Anchored { count: 0, last: None, bad: None, heads: vec![Vec::new(); CHAINS] };
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
        anchored.count += 1;
        anchored.last = anchor;
    }
    Ok(anchored)
}
