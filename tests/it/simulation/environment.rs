//! An environment of the simulation: a clock, and the service's rule when it may be used.

use shared::core::skew::{self, Comparison};
use shared::core::time::Timestamp;

use crate::script_bench::shifted;

/// One environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// How far its clock is off the true time.
    pub offset: i64,
    /// Its clock and the true time, when its clock was last found to agree with the store's.
    compared: Option<(Timestamp, Timestamp)>,
}

impl Environment {
    pub fn clock(&self, truth: Timestamp) -> Timestamp {
        shifted(truth, self.offset)
    }

    /// Whether the service lets it use the store: `service::state` with `core::skew`, on simulated clocks.
    pub fn may_serve(&mut self, truth: Timestamp, store: Timestamp) -> bool {
        let wall = self.clock(truth);
        if let Some((then_wall, then_true)) = self.compared
            && skew::is_steady(wall.millis() - then_wall.millis(), truth.millis() - then_true.millis())
        {
            return true;
        }
        let agrees = Comparison { before: wall, store, after: wall }.agrees();
        self.compared = agrees.then_some((wall, truth));
        agrees
    }
}
