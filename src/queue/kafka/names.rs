//! Names on the cluster: the topic, the groups.

use crate::setting::SinkName;

#[derive(Debug, Clone)]
pub(super) struct Names {
    name: String,
    topic: String,
}

impl Names {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), topic: format!("{name}.events") }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn group(&self, sink: &SinkName) -> String {
        format!("{}.{sink}", self.name)
    }

    /// The sink of a group of ours. No sink's name has a dot, so that another road's groups are none, however its name begins.
    pub(super) fn sink(&self, group: &str) -> Option<SinkName> {
        let sink = group.strip_prefix(&self.name)?.strip_prefix('.')?;
        let archive = SinkName::archive();
        if sink == archive.as_str() { Some(archive) } else { sink.parse().ok() }
    }

    /// As the cluster's own lists show a client.
    pub(super) fn client(&self, purpose: &str) -> String {
        format!("ticketwire-{}-{purpose}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_this_road_are_ours() {
        let names = Names::new("wire");
        for sink in [SinkName::archive(), "docs".parse().expect("a name")] {
            assert_eq!(names.sink(&names.group(&sink)), Some(sink));
        }
        for group in ["wire", "wire.", "wire.a.docs", "wire2.docs", "other.docs", "wire.no spaces"] {
            assert_eq!(names.sink(group), None, "{group}");
        }
        assert_eq!(names.topic(), "wire.events");
    }
}
