//! Stores, faults and costs, as one binary.

mod outages;
mod round_trips;
mod startup;
mod stores;
