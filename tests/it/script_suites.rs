//! The suites that look at the scripts, at state machines and at races, as a binary of their own while in development.

mod model;
mod races;
mod script_bench;
mod scripts_twin;
