//! What speaks against a request, and how much.

/// One kind of evidence. The number is its bit in records and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// The user's history knows no such device.
    NewDevice,
    /// The session goes on with another client, operating system or fingerprint.
    FingerprintDrift,
    /// Another network than before.
    NetworkChange,
    /// Another country than before.
    CountryChange,
    /// Nobody travels that fast.
    ImpossibleTravel,
    /// The same client in an older major version: browsers do not go back.
    UserAgentDowngrade,
    /// Many sessions of the user began within minutes.
    CreationBurst,
    /// A refresh token of the user was replayed within a day.
    RecentReuse,
}

impl Signal {
    /// Every signal, in the order of its bit.
    pub const ALL: [Signal; 8] = [
        Signal::NewDevice,
        Signal::FingerprintDrift,
        Signal::NetworkChange,
        Signal::CountryChange,
        Signal::ImpossibleTravel,
        Signal::UserAgentDowngrade,
        Signal::CreationBurst,
        Signal::RecentReuse,
    ];

    /// What it adds to the score. Everything that an honest traveller behind a VPN can show together (network, country,
    /// travel) stays below the default threshold of quarantine.
    pub fn weight(self) -> u8 {
        match self {
            Signal::NewDevice => 15,
            Signal::FingerprintDrift => 45,
            Signal::NetworkChange => 10,
            Signal::CountryChange => 15,
            Signal::ImpossibleTravel => 40,
            Signal::UserAgentDowngrade => 20,
            Signal::CreationBurst => 25,
            Signal::RecentReuse => 25,
        }
    }

    /// The word in JSON and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::NewDevice => "new_device",
            Signal::FingerprintDrift => "fingerprint_drift",
            Signal::NetworkChange => "network_change",
            Signal::CountryChange => "country_change",
            Signal::ImpossibleTravel => "impossible_travel",
            Signal::UserAgentDowngrade => "user_agent_downgrade",
            Signal::CreationBurst => "creation_burst",
            Signal::RecentReuse => "recent_reuse",
        }
    }

    fn bit(self) -> u16 {
        match self {
            Signal::NewDevice => 1,
            Signal::FingerprintDrift => 2,
            Signal::NetworkChange => 4,
            Signal::CountryChange => 8,
            Signal::ImpossibleTravel => 16,
            Signal::UserAgentDowngrade => 32,
            Signal::CreationBurst => 64,
            Signal::RecentReuse => 128,
        }
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signals(u16);

/// The least score of two facts that no history can talk away: whoever can not have travelled holds another device.
pub const HARD_RULE_SCORE: u8 = 85;

impl Signals {
    /// The set of a record's bits; bits of a later release are kept.
    pub fn from_bits(bits: u16) -> Self {
        Signals(bits)
    }

    /// The bits for a record.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// With one signal more, when it holds.
    pub fn and(self, signal: Signal, holds: bool) -> Self {
        if holds { Signals(self.0 | signal.bit()) } else { self }
    }

    /// Without one signal.
    pub fn without(self, signal: Signal) -> Self {
        Signals(self.0 & !signal.bit())
    }

    /// Whether a signal is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// Whether nothing speaks against the request.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signals in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.contains(*signal))
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        self.iter().map(Signal::as_str).collect()
    }

    /// The score, 0 to 100: the sum of the weights, and at least [`HARD_RULE_SCORE`] for impossible travel together with
    /// another device.
    pub fn score(self) -> u8 {
        let sum = self.iter().map(|signal| u32::from(signal.weight())).sum::<u32>().min(100);
        let other_device = self.contains(Signal::NewDevice) || self.contains(Signal::FingerprintDrift);
        let hard = self.contains(Signal::ImpossibleTravel) && other_device;
        let score = u8::try_from(sum).unwrap_or(100);
        if hard { score.max(HARD_RULE_SCORE) } else { score }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_words_are_unique() {
        let all = Signal::ALL.into_iter().fold(Signals::default(), |set, signal| set.and(signal, true));
        assert_eq!(all.words().len(), Signal::ALL.len());
        assert_eq!(u32::from(all.bits()).count_ones() as usize, Signal::ALL.len());
        assert_eq!(Signals::from_bits(all.bits()), all);
        assert_eq!(all.score(), 100);
    }

    /// Every set of signals: one more never lowers the score.
    #[test]
    fn one_signal_more_never_lowers_the_score() {
        for bits in 0..1 << Signal::ALL.len() {
            let set = Signals::from_bits(bits);
            for signal in Signal::ALL {
                assert!(set.and(signal, true).score() >= set.score(), "{:?} and {signal:?}", set.words());
            }
        }
    }

    /// T-77: no history takes part in the hard rule.
    #[test]
    fn t_77_the_hard_rule_holds_whatever_the_weights_say() {
        for other in [Signal::NewDevice, Signal::FingerprintDrift] {
            let set = Signals::default().and(Signal::ImpossibleTravel, true).and(other, true);
            assert!(set.score() >= HARD_RULE_SCORE);
        }
    }
}
