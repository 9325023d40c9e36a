//! How much may be asked in a minute: quotas that environments lease, and what looks like probing.
//!
//! A counter in the store knows how many permits of a window are leased. A window begins with the first lease after the
//! last one ended and lasts a minute by the store's clock. An environment leases a share of the quota at a time and
//! spends it without asking, so the common path costs no round trip. What is leased counts as spent: the sum of all
//! leases never exceeds the quota of a window, and up to a share of each environment may go unused. A caller can
//! use the quotas of two windows around the moment where they meet.
//!
//! Of a large quota an environment gives a few permits on credit before it leases, and counts them with its first lease: a
//! caller that comes seldom costs no round trip at all. Environments may exceed a window's quota by their credits.

use super::crypto::{self, SecretKey};
use super::id::{Bucket, SessionId, UserTag};
use super::time::Timestamp;
use crate::limits::{RATE_SHARE_MAX, RATE_SHARES, RATE_WINDOW_SECONDS};
use std::net::IpAddr;

/// Whose requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// An application by its key: its tag.
    Application([u8; 8]),
    /// The holder of a session.
    Holder(SessionId),
    /// A source address, apart for each application that its requests concern, zeros when none is known.
    Source {
        /// The application's tag.
        application: [u8; 8],
        /// The network.
        network: Network,
    },
}

/// A limit per minute, by whom it is of or what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Requests with an application's key.
    Application,
    /// Requests of a session's holder.
    Holder,
    /// Requests of a source address without an application's key.
    Address,
    /// Requests of a caller for what does not exist for it.
    Unknown,
}

impl Quota {
    /// The word in answers and in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Quota::Application => "application",
            Quota::Holder => "holder",
            Quota::Address => "address",
            Quota::Unknown => "unknown",
        }
    }
}

/// Addresses that count as one: an IPv4 address (mapped ones included), or the /64 of an IPv6 address, which is what
/// one subscriber has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 16]);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                octets[8..].fill(0);
                Network(octets)
            }
        }
    }
}

/// What is counted of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Its requests.
    Requests,
    /// Its requests for what does not exist for it.
    Misses,
}

/// Where a counter lives, and the pseudonym that its events name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its bucket: that of the session for a holder.
    pub bucket: Bucket,
    /// The last part of its key.
    pub digest: String,
    /// The party in events: nobody learns an address from it.
    pub tag: UserTag,
}

impl Party {
    /// Where the counter of this party lives. Keyed, so that nobody chooses its bucket and no address shows in a key.
    pub fn place(&self, counted: Counted, routing: &SecretKey) -> Place {
        let what: &[u8] = match counted {
            Counted::Requests => b"requests",
            Counted::Misses => b"misses",
        };
        let mac = match self {
            Party::Application(tag) => crypto::mac(routing, &[b"rate", what, b"application", tag]),
            Party::Holder(session) => crypto::mac(routing, &[b"rate", what, b"holder", session.to_string().as_bytes()]),
            Party::Source { application, network } => {
                crypto::mac(routing, &[b"rate", what, b"source", application, &network.0])
            }
        };
        let mut tag = [0; 6];
        tag.copy_from_slice(&mac[14..20]);
        let anywhere = Bucket::wrapping(u16::from_be_bytes([mac[0], mac[1]]));
        let (bucket, tag) = match self {
            Party::Holder(session) => (session.bucket(), session.user_slot(routing).tag),
            Party::Application(_) | Party::Source { .. } => (anywhere, UserTag::from_bytes(tag)),
        };
        Place { bucket, digest: crypto::encode(&mac[2..14]), tag }
    }
}

/// How many permits an environment leases at a time.
pub fn share(quota: u32) -> u32 {
    quota.div_ceil(RATE_SHARES).clamp(1, RATE_SHARE_MAX)
}

/// How many permits of a window an environment gives before it leases: a twentieth of the quota, none of a small one.
pub fn credit(quota: u32) -> u32 {
    (quota / RATE_SHARES).min(RATE_SHARE_MAX)
}

/// How many of the wanted permits are granted when so many of the quota are leased already.
pub fn grant(leased: u64, quota: u32, wanted: u32) -> u32 {
    let free = u64::from(quota).saturating_sub(leased);
    u32::try_from(free).unwrap_or(u32::MAX).min(wanted)
}

/// What an environment may still spend in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    permits: u32,
    /// What nobody had leased at the time.
    unleased: u32,
    /// Permits that were given before the store was asked; only a credit has them.
    on_credit: Option<u32>,
    from: Timestamp,
    until: Timestamp,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It may go on.
    Admitted {
        /// Permits that are left in the window, as far as this environment knows.
        remaining: u32,
        /// When the window ends.
        seconds: u64,
    },
    /// The window's quota is used up.
    Refused {
        /// When the window ends.
        seconds: u64,
    },
    /// The store has to be asked.
    Exhausted,
}

impl Lease {
    /// What the store granted to a request that began at `now`. The window ends `left_millis` after the store answered,
    /// so a lease that ends as long after `now` is over in time whatever the clocks show.
    pub fn granted(permits: u32, unleased: u32, left_millis: u64, now: Timestamp) -> Self {
        let until = Timestamp::from_millis(now.millis().saturating_add_unsigned(left_millis));
        Lease { permits, unleased, on_credit: None, from: now, until }
    }

    /// What an environment gives of a quota before it asks the store.
    pub fn on_credit(quota: u32, now: Timestamp) -> Self {
        let permits = credit(quota);
        let until = now.plus_seconds(RATE_WINDOW_SECONDS);
        Lease { permits, unleased: quota - permits, on_credit: Some(permits), from: now, until }
    }

    /// Permits given on credit, which the store has not counted.
    pub fn borrowed(&self) -> u32 {
        self.on_credit.map_or(0, |given| given.saturating_sub(self.permits))
    }

    /// Spends a permit on a request that began at `now`.
    pub fn spend(&mut self, now: Timestamp) -> Spent {
        if !self.holds(now) {
            return Spent::Exhausted;
        }
        let seconds = seconds_until(self.until, now);
        match self.permits.checked_sub(1) {
            Some(left) => {
                self.permits = left;
                Spent::Admitted { remaining: left.saturating_add(self.unleased), seconds }
            }
            // What was leased never comes back within a window.
            None if self.unleased == 0 => Spent::Refused { seconds },
            None => Spent::Exhausted,
        }
    }

    /// Whether the lease is of the present window.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// What the store makes of misses: whether the party is over its quota, and whether these made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Further misses are refused until the window ends.
    pub over: bool,
    /// An event is due: once in a window.
    pub crossed: bool,
}

/// Judges `count` misses after `before` of the same window.
pub fn judge(before: u64, quota: u32, count: u32) -> Verdict {
    let quota = u64::from(quota);
    let over = before + u64::from(count) > quota;
    Verdict { over, crossed: over && before <= quota }
}

/// Misses of a party that an environment has not reported, and how long it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misses {
    pending: u32,
    refused: Option<(Timestamp, Timestamp)>,
    seen: Timestamp,
}

impl Misses {
    /// None so far.
    pub fn new(now: Timestamp) -> Self {
        Misses { pending: 0, refused: None, seen: now }
    }

    /// Counts one more. The number to report, once it reaches `batch`.
    pub fn count(&mut self, batch: u32, now: Timestamp) -> Option<u32> {
        self.seen = now;
        self.pending += 1;
        (self.pending >= batch).then(|| std::mem::take(&mut self.pending))
    }

    /// Refuses further ones for as long as the store's window lasts.
    pub fn refuse(&mut self, left_millis: u64, now: Timestamp) {
        self.refused = Some((now, Timestamp::from_millis(now.millis().saturating_add_unsigned(left_millis))));
    }

    /// How long further ones are refused, in seconds; `None` when they are not.
    pub fn refused_seconds(&self, now: Timestamp) -> Option<u64> {
        let (from, until) = self.refused?;
        (from <= now && now < until).then(|| seconds_until(until, now))
    }

    /// Whether the party was heard of within so many seconds.
    pub fn recent(&self, seconds: u64, now: Timestamp) -> bool {
        now < self.seen.plus_seconds(seconds)
    }
}

/// At least one, so that nobody asks again at once.
fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(until.millis_since(now)).unwrap_or(0).div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_addresses_and_prefixes() {
        let network = |text: &str| Network::of(text.parse().expect("an address"));
        assert_eq!(network("203.0.113.7"), network("::ffff:203.0.113.7"));
        assert_ne!(network("203.0.113.7"), network("203.0.113.8"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn places_differ_by_party_and_by_what_is_counted() {
        let (one, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let network = Network::of("203.0.113.7".parse().expect("an address"));
        let parties = [
            Party::Application([1; 8]),
            Party::Application([2; 8]),
            Party::Source { application: [0; 8], network },
            Party::Source { application: [1; 8], network },
        ];
        let mut seen = std::collections::BTreeSet::new();
        for party in parties {
            for counted in [Counted::Requests, Counted::Misses] {
                for key in [&one, &other] {
                    assert!(seen.insert(party.place(counted, key).digest), "{party:?} {counted:?}");
                }
            }
        }
    }

    #[test]
    fn shares_are_small_and_never_nothing() {
        for (quota, expected, on_credit) in
            [(1, 1, 0), (19, 1, 0), (20, 1, 1), (21, 2, 1), (600, 30, 30), (1000, 50, 50), (10_000_000, 50, 50)]
        {
            assert_eq!((share(quota), credit(quota)), (expected, on_credit), "{quota}");
        }
    }

    #[test]
    fn an_event_is_due_once() {
        assert_eq!(judge(59, 60, 1), Verdict { over: false, crossed: false });
        assert_eq!(judge(60, 60, 1), Verdict { over: true, crossed: true });
        assert_eq!(judge(55, 60, 10), Verdict { over: true, crossed: true });
        assert_eq!(judge(61, 60, 1), Verdict { over: true, crossed: false });
    }

    #[test]
    fn misses_are_reported_in_batches_and_refused_for_the_rest_of_the_window() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut misses = Misses::new(now);
        let reported: Vec<_> = (0..25).filter_map(|_| misses.count(10, now)).collect();
        assert_eq!(reported, [10, 10]);
        assert_eq!(misses.refused_seconds(now), None);
        misses.refuse(1500, now);
        assert_eq!(misses.refused_seconds(now), Some(2));
        assert_eq!(misses.refused_seconds(Timestamp::from_millis(now.millis() + 1500)), None);
        assert_eq!(misses.refused_seconds(Timestamp::from_millis(now.millis() - 1)), None, "the clock went back");
    }

    /// The counter of the store: leased permits, and when its window ends.
    #[derive(Default)]
    struct Store(Option<(u64, i64)>);

    impl Store {
        fn lease(&mut self, quota: u32, wanted: u32, time: i64) -> (u32, u32, u64, i64) {
            let window = i64::try_from(RATE_WINDOW_SECONDS * 1000).expect("small");
            let (leased, until) = self.0.filter(|(_, until)| time < *until).unwrap_or((0, time + window));
            let granted = grant(leased, quota, wanted);
            let leased = leased + u64::from(granted);
            self.0 = Some((leased, until));
            let unleased = u32::try_from(u64::from(quota).saturating_sub(leased)).expect("small");
            (granted, unleased, u64::try_from(until - time).expect("positive"), until)
        }
    }

    proptest! {
        /// Any number of environments, whatever their clocks show, in any order, with replies that take their time:
        /// no window of the store sees more requests admitted than its quota, credits aside.
        #[test]
        fn no_window_leases_more_than_its_quota(
            quota in 1_u32..200,
            skews in proptest::collection::vec(-100_000_000_i64..100_000_000, 1..6),
            steps in proptest::collection::vec((0_usize..6, 0_i64..3000, 0_i64..400), 1..600),
        ) {
            let mut store = Store::default();
            let mut leases: Vec<Option<Lease>> = vec![None; skews.len()];
            let mut time = 1_800_000_000_000_i64;
            // End of the window → requests admitted before it.
            let mut admitted = std::collections::BTreeMap::<i64, u32>::new();
            let mut refused_early = 0;
            for (who, wait, delay) in steps {
                time += wait;
                let who = who % skews.len();
                let now = Timestamp::from_millis(time + skews[who]);
                let began = time;
                let mut spent = leases[who].as_mut().map_or(Spent::Exhausted, |lease| lease.spend(now));
                if spent == Spent::Exhausted {
                    time += delay;
                    let (granted, unleased, left, _) = store.lease(quota, share(quota), time);
                    let mut lease = Lease::granted(granted, unleased, left, now);
                    spent = lease.spend(now);
                    leases[who] = Some(lease);
                    // A request is counted at the earliest where its window began.
                    if let Some((_, until)) = store.0 && matches!(spent, Spent::Admitted { .. }) {
                        *admitted.entry(until).or_default() += 1;
                    }
                } else if let Spent::Admitted { .. } = spent {
                    let (_, until) = store.0.expect("a lease came from a window");
                    prop_assert!(began < until, "spent after the window");
                    *admitted.entry(until).or_default() += 1;
                }
                match spent {
                    Spent::Admitted { remaining, seconds } => {
                        prop_assert!(remaining < quota && (1..=RATE_WINDOW_SECONDS).contains(&seconds));
                    }
                    Spent::Refused { seconds } => {
                        refused_early += 1;
                        prop_assert!((1..=RATE_WINDOW_SECONDS).contains(&seconds));
                    }
                    Spent::Exhausted => prop_assert!(false, "a fresh lease was exhausted"),
                }
            }
            let most = admitted.values().copied().max().unwrap_or(0);
            prop_assert!(most <= quota, "{most} of {quota}, {refused_early} refused");
        }

        #[test]
        fn what_is_granted_fits(leased in any::<u64>(), quota in any::<u32>(), wanted in any::<u32>()) {
            let granted = grant(leased, quota, wanted);
            prop_assert!(granted <= wanted && (granted == 0 || leased + u64::from(granted) <= u64::from(quota)));
        }
    }
}
