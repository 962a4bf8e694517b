//! A setting of a broker that cannot be used.

/// Which one, why, and what to do. Shows no secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub member: &'static str,
    pub why: String,
    pub hint: &'static str,
}
