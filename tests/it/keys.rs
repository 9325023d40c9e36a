//! Key rings over time, and the applications whose keys they are not.

#[path = "keys/applications.rs"]
mod applications;
#[path = "keys/rings.rs"]
mod rings;
#[path = "keys/rotation.rs"]
mod rotation;
