//! Where and with what a user has been seen: what their sessions are judged against. `create.lua` learns like
//! [`History::learn`]; a test compares the two.
//!
//! Bytes: version u8, last replay u32, then at most [`ENTRIES_MAX`] entries of 32 bytes, newest first. Times are seconds
//! since the epoch.
//!
//! ```text
//! 0 first u32   4 last u32   8 run u32   12 created in the run u8   13 network   19 device   25 country and point   31 spare
//! ```
//!
//! A pair of network and device has one entry. Of pairs never seen before at most [`LEARNED_PER_HOUR`] are learned in an
//! hour, so nobody floods a baseline out. T-77.

use crate::core::context::Sighting;
use crate::core::place::Place;
use crate::core::time::Timestamp;

/// The version this code writes. Another one counts as no history.
pub const VERSION: u8 = 1;
/// Entries kept.
pub const ENTRIES_MAX: usize = 16;
/// Pairs that are learned within an hour.
pub const LEARNED_PER_HOUR: usize = 4;
/// Length of a run of creations in seconds.
pub const BURST_SECONDS: u32 = 600;
const PREFIX_BYTES: usize = 5;
const ENTRY_BYTES: usize = 32;
const HOUR: u32 = 3600;

/// One pair of network and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was first seen.
    pub first: u32,
    /// When it was last seen and written down.
    pub last: u32,
    /// When its present run of creations began.
    pub run: u32,
    /// Sessions created in that run.
    pub created: u8,
    /// Network and device.
    pub sighting: Sighting,
    /// [`Place::mark`].
    pub place: [u8; 6],
}

/// A user's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// When a refresh token of the user was last replayed; 0 for never.
    pub replayed: u32,
    /// Newest first.
    pub entries: Vec<Entry>,
}

/// Seconds since the epoch, as entries count them.
pub fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.seconds()).unwrap_or(u32::MAX)
}

impl Entry {
    /// The entry of one sighting; `creation` when a session begins with it.
    pub fn of(sighting: Sighting, place: Option<&Place>, creation: bool, now: Timestamp) -> Self {
        let now = seconds(now);
        Entry { first: now, last: now, run: now, created: u8::from(creation), sighting, place: Place::mark(place) }
    }

    /// The 32 bytes.
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.first.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.last.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.run.to_be_bytes());
        bytes[12] = self.created;
        bytes[13..19].copy_from_slice(&self.sighting.network);
        bytes[19..25].copy_from_slice(&self.sighting.device);
        bytes[25..31].copy_from_slice(&self.place);
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let integer = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut entry = Entry {
            first: integer(0),
            last: integer(4),
            run: integer(8),
            created: bytes[12],
            sighting: Sighting::default(),
            place: [0; 6],
        };
        entry.sighting.network.copy_from_slice(&bytes[13..19]);
        entry.sighting.device.copy_from_slice(&bytes[19..25]);
        entry.place.copy_from_slice(&bytes[25..31]);
        entry
    }

    /// One creation more, in the present run or in a new one.
    fn count(&mut self, creations: u8, now: u32) {
        if now.saturating_sub(self.run) > BURST_SECONDS {
            (self.run, self.created) = (now, creations);
        } else {
            self.created = self.created.saturating_add(creations);
        }
    }
}

impl History {
    /// Reads a history; anything else counts as none.
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return History::default() };
        if prefix[0] != VERSION {
            return History::default();
        }
        let entries = rest.chunks_exact(ENTRY_BYTES).filter_map(|chunk| chunk.first_chunk()).take(ENTRIES_MAX);
        History {
            replayed: u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]),
            entries: entries.map(Entry::decode).collect(),
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.replayed.to_be_bytes());
        self.entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.encode()));
        bytes
    }

    /// With one sighting more. A known pair moves to the front; a new one is learned unless the hour has had enough, and
    /// then only its creation is counted, with the newest entry.
    pub fn learn(mut self, fresh: Entry) -> Self {
        let now = fresh.last;
        match self.entries.iter().position(|entry| entry.sighting == fresh.sighting) {
            Some(at) => {
                let mut known = self.entries.remove(at);
                known.last = known.last.max(now);
                known.place = fresh.place;
                known.count(fresh.created, now);
                self.entries.insert(0, known);
            }
            None => {
                let lately = self.entries.iter().filter(|entry| now.saturating_sub(entry.first) < HOUR).count();
                if lately < LEARNED_PER_HOUR {
                    self.entries.insert(0, fresh);
                    self.entries.truncate(ENTRIES_MAX);
                } else if let Some(newest) = self.entries.first_mut() {
                    newest.count(fresh.created, now);
                }
            }
        }
        self
    }

    /// Without what the creation of a session at this instant has itself written: it does not speak for itself.
    pub fn apart_from(mut self, sighting: Sighting, created: Timestamp) -> Self {
        self.entries.retain(|entry| entry.sighting != sighting || entry.first < seconds(created));
        self
    }

    /// Whether anybody has been seen with this device.
    pub fn knows_device(&self, device: [u8; 6]) -> bool {
        self.entries.iter().any(|entry| entry.sighting.device == device)
    }

    /// Whether anybody has been seen on this network.
    pub fn knows_network(&self, network: [u8; 6]) -> bool {
        self.entries.iter().any(|entry| entry.sighting.network == network)
    }

    /// Since when this device has been seen on this network.
    pub fn pair_since(&self, sighting: Sighting) -> Option<u32> {
        self.entries.iter().find(|entry| entry.sighting == sighting).map(|entry| entry.first)
    }

    /// Since when this device has been seen in this country.
    pub fn device_in_since(&self, device: [u8; 6], country: [u8; 2]) -> Option<u32> {
        let there = self.entries.iter().filter(|entry| entry.sighting.device == device && entry.place[..2] == country);
        there.map(|entry| entry.first).min()
    }

    /// The last place of this device, or else the last place of all.
    pub fn last_of(&self, device: [u8; 6]) -> Option<&Entry> {
        let newest = |one: &&Entry| one.last;
        let own = self.entries.iter().filter(|entry| entry.sighting.device == device).max_by_key(newest);
        own.or_else(|| self.entries.iter().max_by_key(newest))
    }

    /// Sessions created in the runs that are not over.
    pub fn created_lately(&self, now: Timestamp) -> u32 {
        let current = |entry: &&Entry| seconds(now).saturating_sub(entry.run) <= BURST_SECONDS;
        self.entries.iter().filter(current).map(|entry| u32::from(entry.created)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(device: u8, network: u8, at: u32) -> Entry {
        let sighting = Sighting { network: [network; 6], device: [device; 6] };
        Entry::of(sighting, None, true, Timestamp::from_seconds(i64::from(at)))
    }

    proptest! {
        #[test]
        fn a_history_reads_back_and_stays_bounded(steps in proptest::collection::vec((0_u8..9, 0_u8..4, 0_u32..2000), 0..60)) {
            let mut history = History::default();
            let mut at = 1_800_000_000;
            for (device, network, wait) in steps {
                at += wait;
                let before: Vec<_> = history.entries.iter().map(|entry| entry.sighting).collect();
                history = history.learn(entry(device, network, at));
                prop_assert!(history.entries.len() <= ENTRIES_MAX);
                prop_assert_eq!(&History::decode(&history.encode()), &history);
                let fresh = history.entries.iter().filter(|entry| at - entry.first < HOUR).count();
                prop_assert!(fresh <= LEARNED_PER_HOUR);
                // T-77: nothing that is known is unlearned but by the pair that takes its place.
                let lost = before.iter().filter(|sighting| history.pair_since(**sighting).is_none()).count();
                prop_assert!(lost <= 1);
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
            let _ = History::decode(&bytes);
        }
    }

    #[test]
    fn t_77_an_hour_teaches_four_pairs_and_counts_the_rest() {
        let mut history = History::default().learn(entry(1, 1, 1_000_000));
        let day = 1_086_400;
        for device in 10..30 {
            history = history.learn(entry(device, 2, day + u32::from(device)));
        }
        assert_eq!(history.entries.len(), 1 + LEARNED_PER_HOUR);
        assert!(history.knows_device([1; 6]));
        assert_eq!(history.created_lately(Timestamp::from_seconds(i64::from(day) + 30)), 20);
        assert_eq!(history.created_lately(Timestamp::from_seconds(i64::from(day) + 5000)), 0);
    }
}
