//! How many different ones there were, in a few kilobytes, for any union of times.

use crate::core::crypto;
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// 4096 registers: a standard error of 1.04/√4096, 1.6 per cent. Up to some hundreds the count is exact but for
/// collisions of 26 bits.
const LG_REGISTERS: u8 = 12;

/// A set that knows about how many members it has.
pub struct Distinct(HllUnion);

impl Distinct {
    /// Of nobody.
    pub fn new() -> Option<Self> {
        HllUnion::new(LG_REGISTERS).ok().map(Distinct)
    }

    /// Adds a member by its digest.
    pub fn insert(&mut self, digest: u64) {
        self.0.update_value(digest);
    }

    /// Adds the members of a stored set; `false` when the bytes are none.
    #[must_use]
    pub fn merge(&mut self, stored: &[u8]) -> bool {
        HllSketch::deserialize(stored).is_ok_and(|sketch| {
            self.0.update(&sketch);
            true
        })
    }

    /// As the database keeps it: the binary format of Apache DataSketches.
    pub fn stored(&self) -> Vec<u8> {
        self.0.to_sketch(HllType::Hll4).serialize()
    }

    /// About how many.
    pub fn count(&self) -> u64 {
        // An estimate is finite and not negative.
        self.0.estimate().round() as u64
    }
}

/// The digest that a member is counted by.
pub fn digest(member: &str) -> u64 {
    let hash = crypto::hash(&[member.as_bytes()]);
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: std::ops::Range<u32>) -> Distinct {
        let mut set = Distinct::new().expect("registers in range");
        members.for_each(|member| set.insert(digest(&member.to_string())));
        set
    }

    #[test]
    fn small_sets_are_exact_and_unions_count_nobody_twice() {
        for count in [0, 1, 7, 100, 300] {
            assert_eq!(of(0..count).count(), u64::from(count));
        }
        let mut union = of(0..150);
        assert!(union.merge(&of(100..250).stored()) && union.merge(&of(0..250).stored()));
        assert_eq!(union.count(), 250);
        assert!(!union.merge(b"nothing of the kind"));
    }

    #[test]
    fn large_sets_are_within_the_stated_error_and_small_in_bytes() {
        let mut union = Distinct::new().expect("registers in range");
        for part in 0..20 {
            let part = of(part * 5_000..part * 5_000 + 10_000);
            assert!(part.stored().len() < 2600, "{}", part.stored().len());
            assert!(union.merge(&part.stored()));
        }
        let error = union.count() as f64 / 105_000.0 - 1.0;
        assert!(error.abs() < 3.0 * 0.0163, "{error}");
    }
}
