//! Every decision a script takes, against its Rust twin or a small model, on random inputs in a real Redis.

#[path = "scripts_twin/activity.rs"]
mod activity;
#[path = "scripts_twin/bind_key.rs"]
mod bind_key;
#[path = "scripts_twin/create.rs"]
mod create;
#[path = "scripts_twin/end.rs"]
mod end;
#[path = "scripts_twin/end_device.rs"]
mod end_device;
#[path = "scripts_twin/erase_user.rs"]
mod erase_user;
#[path = "scripts_twin/families.rs"]
mod families;
#[path = "scripts_twin/judge.rs"]
mod judge;
#[path = "scripts_twin/list.rs"]
mod list;
#[path = "scripts_twin/lock.rs"]
mod lock;
#[path = "scripts_twin/rate.rs"]
mod rate;
#[path = "scripts_twin/refresh.rs"]
mod refresh;
#[path = "scripts_twin/revoke_user.rs"]
mod revoke_user;
#[path = "scripts_twin/set_privacy.rs"]
mod set_privacy;
#[path = "scripts_twin/step_up.rs"]
mod step_up;
#[path = "scripts_twin/sweep.rs"]
mod sweep;
#[path = "scripts_twin/unreadable.rs"]
mod unreadable;
#[path = "scripts_twin/write.rs"]
mod write;

/// Seed of every case.
const SEED: u64 = 20_260_101;

/// An instant of the past for scripts that take the time from their caller.
const BASE: i64 = 1_800_000_000_000;
