//! Wall time. Waiting uses `tokio::time`; wall times sort and display. The only file that may ask the system for the time.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970, kept within the years 1 to 9999, so that every value has the published form `YYYY-MM-DDTHH:MM:SS.sssZ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const FIRST_MS: i64 = -62_135_596_800_000; // 0001-01-01T00:00:00.000Z
const LAST_MS: i64 = 253_402_207_199_999; // 9999-12-30T21:59:59.999Z, the last that every time zone can show

impl Timestamp {
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(FIRST_MS, LAST_MS))
    }

    pub fn ms(self) -> i64 {
        self.0
    }

    /// Reads what Jira writes: `2025-12-11T09:20:00.120+0100`, with or without fraction, `Z`, `+hh:mm` or `+hhmm`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self::from_ms(at.as_millisecond()))
    }

    pub fn plus(self, span: std::time::Duration) -> Self {
        Self::from_ms(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier`; nothing where the clock says it was before.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{at:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time as in `2026-11-22T10:00:00.000Z`")))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$" })
    }
}

/// Where wall time comes from: the system, or a test's hand.
#[derive(Clone, Default)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is set.
    pub fn at(now: Timestamp) -> Self {
        Self { set: Some(Arc::new(AtomicI64::new(now.ms()))) }
    }

    pub fn set(&self, now: Timestamp) {
        if let Some(set) = &self.set {
            set.store(now.ms(), Ordering::Relaxed);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match &self.set {
            Some(set) => Timestamp::from_ms(set.load(Ordering::Relaxed)),
            None => Timestamp::from_ms(jiff::Timestamp::now().as_millisecond()),
        }
    }
}

/// Tells when the wall clock was set, by holding it against a clock that nobody sets.
#[derive(Debug)]
pub struct Jumps {
    wall: Timestamp,
    steady: tokio::time::Instant,
}

/// A smaller one is a clock that is kept right.
const JUMP_MS: i64 = 300_000;

impl Jumps {
    pub fn since(wall: Timestamp) -> Self {
        Self { wall, steady: tokio::time::Instant::now() }
    }

    /// By how many milliseconds the clock jumped since the last look, if it did; negative: back.
    pub fn look(&mut self, wall: Timestamp) -> Option<i64> {
        let steady = tokio::time::Instant::now();
        let passed = i64::try_from(steady.duration_since(self.steady).as_millis()).unwrap_or(i64::MAX);
        let jumped = wall.ms().saturating_sub(self.wall.ms()).saturating_sub(passed);
        (self.wall, self.steady) = (wall, steady);
        (jumped.abs() > JUMP_MS).then_some(jumped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jira_writes_is_read() {
        let at = Timestamp::from_ms(1_765_441_200_120);
        for text in
            ["2025-12-11T09:20:00.120+0100", "2025-12-11T08:20:00.120Z", "2025-12-11T08:20:00.12+00:00", "2025-12-11T13:50:00.120+0530"]
        {
            assert_eq!(Timestamp::parse(text), Some(at), "{text}");
        }
        assert_eq!(Timestamp::parse("2025-12-11T08:20:00Z"), Some(Timestamp::from_ms(1_765_441_200_000)));
        for bad in ["", "24/Dec/25", "2025-12-11", "yesterday"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_value_has_the_published_form() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-30T21:59:59.999Z"),
            (i64::MIN, "0001-01-01T00:00:00.000Z"),
            (1_765_441_200_120, "2025-12-11T08:20:00.120Z"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).to_string(), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn jumps_of_minutes_are_told_once() {
        let mut wall = 1_700_000_000_000;
        let mut jumps = Jumps::since(Timestamp::from_ms(wall));
        for (passed, moved, told) in [
            (5_000, 5_000, None),
            (5_000, 65_000, None),
            (5_000, 605_000, Some(600_000)),
            (5_000, 5_000, None),
            (5_000, -3_600_000, Some(-3_605_000)),
            (86_400_000, 86_400_000, None),
        ] {
            tokio::time::advance(std::time::Duration::from_millis(passed)).await;
            wall += moved;
            assert_eq!(jumps.look(Timestamp::from_ms(wall)), told, "{passed} {moved}");
        }
    }
}
