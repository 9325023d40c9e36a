//! The scripts of the release before this one, word for word, run by an environment that is not updated yet. Scripts are known
//! by their digests, so both sets live in one Redis. When a release is made, its scripts replace those in
//! `fixtures/release_before`.

use std::collections::BTreeMap;

use redis::{Arg, Cmd};
use shared::adapters::redis::scripts::Call;

/// A script: what stands in front of it, its text today and before.
macro_rules! script {
    ($name:literal, $flags:literal) => {
        (
            concat!(
                $flags,
                include_str!("../../../shared/src/adapters/redis/scripts/record.lua"),
                include_str!(concat!("../../../shared/src/adapters/redis/scripts/", $name))
            ),
            concat!(
                $flags,
                include_str!("../fixtures/release_before/record.lua"),
                include_str!(concat!("../fixtures/release_before/", $name))
            ),
        )
    };
}

const SCRIPTS: [(&str, &str); 14] = [
    script!("create.lua", ""),
    script!("update.lua", ""),
    script!("lock.lua", ""),
    script!("share.lua", ""),
    script!("redeem.lua", ""),
    script!("step_up.lua", ""),
    script!("judge.lua", "#!lua flags=allow-oom\n"),
    script!("end_device.lua", "#!lua flags=allow-oom\n"),
    script!("touch.lua", "#!lua flags=allow-oom\n"),
    script!("refresh.lua", "#!lua flags=allow-oom\n"),
    script!("unlock.lua", "#!lua flags=allow-oom\n"),
    script!("end.lua", "#!lua flags=allow-oom\n"),
    script!("revoke_user.lua", "#!lua flags=allow-oom\n"),
    script!("sweep.lua", "#!lua flags=allow-oom\n"),
];

/// Today's texts with those of the release before.
pub struct Previous(BTreeMap<&'static [u8], &'static str>);

impl Previous {
    pub fn new() -> Self {
        Previous(SCRIPTS.iter().map(|(today, before)| (today.as_bytes(), *before)).collect())
    }

    /// The same call by the script of the release before.
    pub fn command(&self, call: &Call) -> Cmd {
        let today = call.by_text();
        let mut before = redis::cmd("EVAL");
        for (place, argument) in today.args_iter().enumerate().skip(1) {
            let Arg::Simple(bytes) = argument else { panic!("a cursor in a script call") };
            match place {
                1 => before.arg(*self.0.get(bytes).expect("a script whose earlier text is kept")),
                _ => before.arg(bytes),
            };
        }
        before
    }
}

#[test]
fn the_release_before_is_another_one() {
    assert!(SCRIPTS.iter().any(|(today, before)| today != before));
}
