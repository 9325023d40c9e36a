//! Counts of what requests of a kind, and the replies to them, let pass.

use std::collections::BTreeMap;

use super::{Counts, contains};

/// Labels, each with what its requests contain, and what has passed under it.
#[derive(Default)]
pub(super) struct Labels {
    needles: Vec<(String, Vec<u8>)>,
    counts: BTreeMap<String, Counts>,
}

impl Labels {
    pub(super) fn add(&mut self, label: &str, needle: &[u8]) {
        self.needles.push((label.to_owned(), needle.to_vec()));
        self.counts.entry(label.to_owned()).or_default();
    }

    /// The first label whose requests look like this one.
    pub(super) fn find(&self, request: &[u8]) -> Option<String> {
        self.needles.iter().find(|(_, needle)| contains(request, needle)).map(|(label, _)| label.clone())
    }

    pub(super) fn counts_of(&mut self, label: &str) -> Option<&mut Counts> {
        self.counts.get_mut(label)
    }

    pub(super) fn counts(&self) -> BTreeMap<String, Counts> {
        self.counts.clone()
    }
}
