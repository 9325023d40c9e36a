//! A plain command behind the bucket's marker.

use super::Call;
use redis::{Arg, Cmd};

script!(SCRIPT, "fenced.lua");

/// The command as a script, which the marker of its bucket holds back. Its first argument is its key.
pub fn fenced(command: &Cmd) -> Call {
    let words = command.args_iter().filter_map(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    let key = words.clone().nth(1).unwrap_or_default();
    let key = String::from_utf8_lossy(key).into_owned();
    words.fold(Call::new(&SCRIPT, vec![key]), Call::arg)
}
