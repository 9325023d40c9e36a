//! A deterministic simulation: environments with clocks of their own run the service's steps on a real Redis, one store
//! call at a time in a seeded order, with crashes, lost replies, repeated requests and a store that is set back. A model
//! written from the documents says what each call must answer and what Redis must hold afterwards; the promises I-1 to
//! I-16 that concern sessions are asserted beside it. Half of the seeds draw what happens to sessions alone, half of them
//! authentications, judged contexts, ends of devices and changes of settings as well.
//!
//! A failing schedule is shrunk and printed with its seed. `SIMULATION_SEED=…` runs one seed, `SIMULATION_SCHEDULES=…` as
//! many as wanted; seeds that failed once stand in `fixtures/simulation_seeds.txt` and always run.

#[path = "simulation/environment.rs"]
mod environment;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/operations.rs"]
mod operations;
#[path = "simulation/persons.rs"]
mod persons;
#[path = "simulation/previous.rs"]
mod previous;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/schedule.rs"]
mod schedule;
#[path = "simulation/search.rs"]
mod search;
#[path = "simulation/world.rs"]
mod world;
