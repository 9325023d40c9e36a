//! State machines over random interleavings: the scripts against a model in thousands of steps, and the whole service,
//! with lost replies and a store that is set back, in fewer.

#[path = "model/operations.rs"]
mod operations;
#[path = "model/restore.rs"]
mod restore;
#[path = "model/service.rs"]
mod service;
#[path = "model/steps.rs"]
mod steps;
#[path = "model/store.rs"]
pub mod store;
#[path = "model/world.rs"]
mod world;
