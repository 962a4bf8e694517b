//! What restricted content a sink may take. Whether an event is restricted is the guard's question, not asked here.

use schemars::JsonSchema;
use serde::Deserialize;

/// Stands for every security level.
const ALL_LEVELS: &str = "*";

/// Clears for nothing by default; each part is given singly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Clearance {
    /// Names of the security levels whose issues it takes; `*` is all of them.
    pub security_levels: Vec<String>,
    /// Comments and worklogs that only a group or role may see.
    pub restricted_comments: bool,
    /// Internal comments of service management.
    pub internal_comments: bool,
}

impl Clearance {
    pub fn everything() -> Self {
        Self { security_levels: vec![ALL_LEVELS.to_owned()], restricted_comments: true, internal_comments: true }
    }

    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn clears_level(&self, name: &str) -> bool {
        self.clears_all_levels() || self.security_levels.iter().any(|level| level == name)
    }

    /// Whether the level need not be known at all.
    pub fn clears_all_levels(&self) -> bool {
        self.security_levels.iter().any(|level| level == ALL_LEVELS)
    }

    /// Whether nothing about an event could keep it from the sink.
    pub fn clears_everything(&self) -> bool {
        self.clears_all_levels() && self.restricted_comments && self.internal_comments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_cleared_singly() {
        let given: Clearance = serde_json::from_str(r#"{"security_levels":["Staff"],"internal_comments":true}"#).expect("a clearance");
        assert!(given.clears_level("Staff") && !given.clears_level("Board") && !given.clears_level("*staff"));
        assert!(given.internal_comments && !given.restricted_comments && !given.clears_everything());
        assert!(serde_json::from_str::<Clearance>(r#"{"levels":[]}"#).is_err());
    }

    #[test]
    fn everything_and_nothing() {
        assert!(Clearance::everything().clears_level("any") && Clearance::everything().clears_everything());
        assert!(!Clearance::nothing().clears_level("any") && !Clearance::nothing().clears_everything());
    }
}
