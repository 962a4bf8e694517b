//! Partition keys and lanes: which events must stay in order, and where they queue.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encode_part;
use crate::setting::ConnectionName;

/// What keeps its order: `<connection>/issue/<issue id>`, or `<connection>/<entity>/<id>` where no issue is named.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PartitionKey(Arc<str>);

impl PartitionKey {
    pub fn issue(connection: &ConnectionName, id: &str) -> Self {
        Self::entity(connection, "issue", id)
    }

    pub fn entity(connection: &ConnectionName, entity: &str, id: &str) -> Self {
        Self(format!("{connection}/{entity}/{}", encode_part(id)).into())
    }

    /// A key that was made before, as read from the store.
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lane is computed here, never by a broker: it depends on the key and the number of lanes only.
    pub fn lane(&self, count: LaneCount) -> LaneId {
        LaneId(u16::try_from(fnv1a(self.0.as_bytes()) % u64::from(count.0)).expect("a remainder below the number of lanes"))
    }
}

/// FNV-1a, folded: the low bits of FNV alone are poor, and a remainder by 16 sees only those.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The number of an ordered partition, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(pub u16);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an envelope stands in its lane: from 1, always growing; without gaps only where one process numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// How many lanes a queue has: 1 to 256. It can never change for a queue that holds events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct LaneCount(u16);

impl LaneCount {
    pub fn new(count: u16) -> Option<Self> {
        (1..=256).contains(&count).then_some(Self(count))
    }

    pub fn get(self) -> u16 {
        self.0
    }

    pub fn lanes(self) -> impl Iterator<Item = LaneId> {
        (0..self.0).map(LaneId)
    }
}

impl Default for LaneCount {
    fn default() -> Self {
        Self(16)
    }
}

impl TryFrom<u16> for LaneCount {
    type Error = String;

    fn try_from(count: u16) -> Result<Self, String> {
        Self::new(count).ok_or_else(|| format!("{count} lanes: the number must be between 1 and 256"))
    }
}

impl From<LaneCount> for u16 {
    fn from(count: LaneCount) -> Self {
        count.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_spread_evenly() {
        let acme: ConnectionName = "acme".parse().expect("a name");
        let mut counts = [0_u32; 16];
        for id in 10_000..11_600 {
            counts[usize::from(PartitionKey::issue(&acme, &id.to_string()).lane(LaneCount::default()).0)] += 1;
        }
        assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
    }
}
