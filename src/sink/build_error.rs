//! Why a sink cannot be built, by who has to do something about it.

/// Nothing of this waits for better times: the sink's settings or the machine must change first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Mend this setting.
    #[error("`{setting}`: {reason}")]
    Setting { setting: &'static str, reason: String },
    /// Mend what the process runs on: a directory, a permission, certificates.
    #[error("{reason}")]
    Surroundings { reason: String },
}

impl BuildError {
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting { setting, reason: reason.into() }
    }

    pub(crate) fn surroundings(reason: impl Into<String>) -> Self {
        Self::Surroundings { reason: reason.into() }
    }
}
