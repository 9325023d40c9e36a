//! The layers of what an environment remembers, and what their misses ask a store for.

use std::collections::BTreeMap;

use integration_tests::Stack;
use integration_tests::proxy::Counts;

use super::day::Kind;

/// What is remembered. Verified tokens and opened data of reads are not here: nothing is asked for in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Key rings, unwrapped.
    Rings,
    /// Key rings as they are stored, public keys, the routing key.
    Keys,
    /// Application records with their policies.
    Applications,
    /// Which application a tag stands for.
    Tags,
    /// Data of a version, to patch.
    Data,
    /// The connection to Redis.
    Connection,
    /// That this Redis knows the revocation ledger.
    Ledger,
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 7] =
        [Layer::Rings, Layer::Keys, Layer::Applications, Layer::Tags, Layer::Data, Layer::Connection, Layer::Ledger];

    /// For the report.
    pub fn title(self) -> &'static str {
        match self {
            Layer::Rings => "key rings, unwrapped",
            Layer::Keys => "key rings as stored, public keys, routing key",
            Layer::Applications => "application records and policies",
            Layer::Tags => "application of a refresh token's tag",
            Layer::Data => "version and data that a PATCH names",
            Layer::Connection => "connection to Redis",
            Layer::Ledger => "ledger applied to this Redis",
        }
    }

    /// What a miss costs.
    pub fn asks(self) -> &'static str {
        match self {
            Layer::Rings => "KMS call",
            Layer::Keys | Layer::Applications | Layer::Ledger => "DynamoDB call",
            Layer::Tags | Layer::Data | Layer::Connection => "Redis round trip",
        }
    }

    /// Whether Redis is what a miss asks.
    pub fn is_of_redis(self) -> bool {
        match self {
            Layer::Tags | Layer::Data | Layer::Connection => true,
            Layer::Rings | Layer::Keys | Layer::Applications | Layer::Ledger => false,
        }
    }

    /// What a labelled request was for. A read's own MGET is no miss of anything: whether a session lives is not remembered.
    fn of(label: &str, kind: Kind) -> Option<Self> {
        match (label, kind) {
            ("rings", _) => Some(Layer::Rings),
            ("keys", _) => Some(Layer::Keys),
            ("applications", _) => Some(Layer::Applications),
            ("ledger", _) => Some(Layer::Ledger),
            ("connection", _) => Some(Layer::Connection),
            ("record", Kind::Refresh) => Some(Layer::Tags),
            ("record", Kind::Patch) => Some(Layer::Data),
            ("record", Kind::Read) => None,
            (other, _) => panic!("unknown label: {other}"),
        }
    }
}

/// Has the proxies tell apart what misses ask for.
pub fn watch(stack: &Stack) {
    let (redis, moto, tables) = (stack.redis_proxy(), stack.moto_proxy(), &stack.aws.tables);
    for command in ["SETINFO", "HELLO", "INFO"] {
        redis.label("connection", format!("${}\r\n{command}\r\n", command.len()).as_bytes());
    }
    redis.label("record", b"$4\r\nMGET\r\n");
    moto.label("rings", b"TrentService.Decrypt");
    for (label, table) in
        [("keys", &tables.keys), ("applications", &tables.applications), ("ledger", &tables.revocations)]
    {
        moto.label(label, format!("\"{table}\"").as_bytes());
    }
}

/// What misses asked for, by layer.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Layer, Asked>);

/// Requests and their bytes, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests.
    pub times: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Asked {
    /// With another.
    pub fn plus(self, other: Asked) -> Asked {
        Asked { times: self.times + other.times, bytes: self.bytes + other.bytes }
    }

    /// Without another, which is a part of it.
    pub fn less(self, other: Asked) -> Asked {
        Asked { times: self.times.saturating_sub(other.times), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

impl Tally {
    /// What passed the proxies for a request of this kind.
    pub fn of(before: &Seen, after: &Seen, kind: Kind) -> Self {
        let mut tally = Tally::default();
        for (label, counts) in after {
            let counts = *counts - before.get(label).copied().unwrap_or_default();
            if let Some(layer) = Layer::of(label, kind) {
                let asked = tally.0.entry(layer).or_default();
                asked.times += counts.round_trips;
                asked.bytes += counts.bytes_to_upstream + counts.bytes_to_client;
            }
        }
        tally
    }

    /// Adds another so many times.
    pub fn add_times(&mut self, other: &Tally, times: u64) {
        for (layer, asked) in &other.0 {
            let own = self.0.entry(*layer).or_default();
            *own = own.plus(Asked { times: asked.times * times, bytes: asked.bytes * times });
        }
    }

    /// Of one layer.
    pub fn get(&self, layer: Layer) -> Asked {
        self.0.get(&layer).copied().unwrap_or_default()
    }

    /// Whether another asked for the same things as often. Bytes differ by the length of ids and times.
    pub fn is_alike(&self, other: &Tally) -> bool {
        Layer::ALL.iter().all(|layer| self.get(*layer).times == other.get(*layer).times)
    }
}

/// What has passed, by label.
pub type Seen = BTreeMap<String, Counts>;

/// What both proxies have seen so far.
pub fn seen(stack: &Stack) -> Seen {
    let mut seen = stack.redis_proxy().labelled();
    seen.extend(stack.moto_proxy().labelled());
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(round_trips: u64, bytes: u64) -> Counts {
        Counts { connections: 0, round_trips, bytes_to_upstream: bytes, bytes_to_client: 2 * bytes }
    }

    /// A record that is read first is a miss of what the kind of request remembers; that of a read is none of any.
    #[test]
    fn a_tally_has_what_has_passed_since_by_layer() {
        let before: Seen = [("record".to_owned(), passed(5, 100)), ("rings".to_owned(), passed(1, 10))].into();
        let after: Seen = [("record".to_owned(), passed(6, 140)), ("rings".to_owned(), passed(3, 30))].into();
        let rings = Asked { times: 2, bytes: 60 };
        for (kind, layer) in [(Kind::Refresh, Some(Layer::Tags)), (Kind::Patch, Some(Layer::Data)), (Kind::Read, None)]
        {
            let tally = Tally::of(&before, &after, kind);
            assert_eq!(tally.get(Layer::Rings), rings);
            for other in [Layer::Tags, Layer::Data] {
                let expected = if Some(other) == layer { Asked { times: 1, bytes: 120 } } else { Asked::default() };
                assert_eq!(tally.get(other), expected, "{kind:?}");
            }
            let mut twice = Tally::default();
            twice.add_times(&tally, 2);
            assert_eq!(twice.get(Layer::Rings), rings.plus(rings));
            assert_eq!(twice.get(Layer::Rings).less(rings), rings);
            assert!(tally.is_alike(&tally) && !twice.is_alike(&tally));
        }
    }
}
