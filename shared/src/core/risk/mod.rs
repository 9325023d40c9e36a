//! The risk of a session: signals from its context and its user's history, a score, a verdict. More risk never gives a
//! weaker verdict, and more trust never a stronger one. ASVS 8.1.3, 8.1.4, 8.2.4.
//!
//! `docs/SECURITY.md` lists every input, weight and threshold; tests hold the code to it.

pub mod assess;
pub mod history;
pub mod judgement;
pub mod signals;
pub mod verdict;

pub use assess::{Assessment, Scene, of_beginning, of_change, other_network, unjudged};
pub use history::History;
pub use judgement::{Commitment, Event, Outcome, adopt, judge, judge_beginning};
pub use signals::{Signal, Signals};
pub use verdict::{Note, Verdict};
