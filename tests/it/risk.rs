//! The risk engine by itself: its golden table, its documented inputs, and a month of sign-ins replayed.

#[path = "risk/document.rs"]
mod document;
#[path = "risk/month.rs"]
mod month;
#[path = "risk/replay.rs"]
mod replay;
