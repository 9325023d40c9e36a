//! What holds for users who have not chosen: the switches that their sessions begin with.

use crate::core::privacy::Privacy;
use serde::{Deserialize, Serialize};

/// Switches as an application sets them; all are on unless it says otherwise. A user's own choice is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PrivacyDefaults {
    /// Whether activities are recorded.
    pub activity_tracking: bool,
    /// Whether places and networks are kept.
    pub location: bool,
    /// Whether devices are told by their traits.
    pub fingerprinting: bool,
    /// Whether sessions are shared.
    pub sharing: bool,
}

impl Default for PrivacyDefaults {
    fn default() -> Self {
        PrivacyDefaults { activity_tracking: true, location: true, fingerprinting: true, sharing: true }
    }
}

impl PrivacyDefaults {
    /// Whether everything is on.
    pub fn is_default(&self) -> bool {
        *self == PrivacyDefaults::default()
    }

    /// The switches.
    pub fn privacy(self) -> Privacy {
        Privacy::new(self.activity_tracking, self.location, self.fingerprinting, self.sharing)
    }
}
