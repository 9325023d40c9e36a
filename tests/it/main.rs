//! The one test binary: it links once and runs every suite in parallel.

mod harness;
mod smoke;
