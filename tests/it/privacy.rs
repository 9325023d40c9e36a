//! What users let the service collect, what is held on them, and that it goes.

mod erasure;
mod export;
mod kills;
mod restored;
mod settings;
mod support;
