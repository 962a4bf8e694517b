//! Every wait and size of the client in one place, so that tests can shorten the waits.

use std::time::Duration;

/// Jira's own limit for one bulk read.
pub(super) const IDS_MAX: usize = 100;
/// What a site that is slow with many issues is asked for at least.
pub(super) const IDS_MIN: usize = 10;
/// An answer of 100 issues is below 3 MiB as a rule; more than this is a mistake or an attack.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;
/// What a rule looks up is shown in a message; more than this is no answer to a question.
pub(super) const LOOKUP_BYTES_MAX: usize = 1 << 20;
pub(super) const LOOKUPS_AT_ONCE: usize = 8;
/// What is remembered of them, in bytes of JSON.
pub(super) const LOOKUP_BYTES_REMEMBERED: u64 = 16 << 20;
/// Issues in one question whether they satisfy a query: of so many Jira looks past its index. Queries and answers that are remembered.
pub(super) const MATCHED_AT_ONCE: usize = 50;
pub(super) const QUERIES_REMEMBERED: u64 = 1_000;
pub(super) const MATCHES_REMEMBERED: u64 = 10_000;
/// Single reads at once, where a site has no bulk read that works.
pub(super) const SINGLE_READS_MAX: usize = 4;
/// What is remembered: so many issues, and of so many bytes of JSON.
pub(super) const ISSUES_REMEMBERED: u64 = 10_000;
pub(super) const BYTES_REMEMBERED: u64 = 64 << 20;
/// The longest pause, whatever Jira's `Retry-After` says: the site is asked again after it.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub connect: Duration,
    /// One request that nobody on the road waits for.
    pub request: Duration,
    /// One bulk read with everything that belongs to it. Shorter than `call`, so that who waits hears the reason.
    pub read: Duration,
    /// What a caller waits at most; for a JQL twice `read`, and a question of his own.
    pub call: Duration,
    /// Before a read starts, so that lanes that woke together share it.
    pub gather: Duration,
    /// How long a read waits for the one before it; then it goes beside it.
    pub patience: Duration,
    /// After a refused login: each try counts towards the CAPTCHA.
    pub login_pause: Duration,
    /// How long a good login is believed.
    pub login_believed: Duration,
    pub backoff_first: Duration,
    pub backoff_most: Duration,
    /// Added to what `Retry-After` says, because clocks and networks differ.
    pub retry_after_more: Duration,
    /// The rate budget: requests a second, and at once. Half of what Jira Cloud allows a site, which others use too.
    pub requests_per_second: f64,
    pub requests_at_once: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
            read: Duration::from_secs(9),
            call: Duration::from_secs(10),
            gather: Duration::from_millis(5),
            patience: Duration::from_millis(500),
            login_pause: Duration::from_secs(30),
            login_believed: Duration::from_secs(30),
            backoff_first: Duration::from_secs(1),
            backoff_most: Duration::from_secs(30),
            retry_after_more: Duration::from_millis(250),
            requests_per_second: 50.0,
            requests_at_once: 100.0,
        }
    }
}
