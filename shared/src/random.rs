//! The only place that draws randomness: the operating system's generator through ring.

use crate::error::{Error, Result};
use ring::rand::{SecureRandom, SystemRandom};

/// `N` random bytes. A failing generator is an error, never a constant.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Internal("the random generator failed".into()))?;
    Ok(bytes)
}
