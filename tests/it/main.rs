//! The one test binary: it links once and runs every suite in parallel.

mod analytics;
mod api;
mod audit;
mod browser;
mod clients;
mod harness;
mod jobs;
mod keys;
mod model;
mod monitoring;
mod openapi;
mod outages;
mod privacy;
mod races;
mod readme;
mod repository;
mod risk;
mod round_trips;
mod script_bench;
mod scripts_twin;
mod smoke;
mod startup;
mod stores;
mod threats;
mod threats_at_rest;
mod webhooks;
