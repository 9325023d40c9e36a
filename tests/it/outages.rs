//! Faults of the stores (security.md F-nn): what is still served, what is refused and how, and what holds afterwards.

mod aws_away;
mod clock_off;
mod cluster_away;
mod keys_away;
mod redis_away;
mod redis_restored;
mod redis_trouble;
mod support;
mod unknown_outcome;
