//! The harness tests itself: none of these needs a function binary.

mod clock;
mod gateway;
mod processes;
mod proxy;
mod response_rules;
mod routes;
mod runtime_api;
mod stack;
mod stores;
mod template;

use integration_tests::environment::EnvironmentSpec;

/// The function that does as the event says.
fn probe() -> EnvironmentSpec {
    EnvironmentSpec { binary: env!("CARGO_BIN_EXE_harness-probe").into(), ..EnvironmentSpec::new("harness-probe") }
}
