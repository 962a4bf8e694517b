//! Standard output: one structured CloudEvent per line. A reader that has gone away makes the sink unavailable; nothing is dropped.

use std::io::Write;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::lines::{Append, Lines};
use super::{BuildError, Clearance, Enriched, Receipt, Sink, SinkError, Traits};
use crate::setting::SinkName;

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether a reduced issue is read from Jira and made whole first; then events wait while Jira cannot be asked.
    #[serde(default)]
    pub enrich: bool,
    /// Whether `data.raw` carries Jira's own body.
    pub include_raw: bool,
    /// What restricted content it takes: everything unless said otherwise.
    pub clearance: Option<Clearance>,
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::everything)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        Ok(())
    }
}

/// `output` is standard output, or what a test reads.
pub fn build(name: SinkName, settings: &Settings, output: Box<dyn Write + Send>) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    Ok(StdoutSink { name, lines: Lines::new(Output { output, torn: false }, settings.include_raw) })
}

struct StdoutSink {
    name: SinkName,
    lines: Lines<Output>,
}

#[async_trait]
impl Sink for StdoutSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 256, for_people: false }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        self.lines.deliver(batch).await
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.lines.check().await
    }
}

struct Output {
    output: Box<dyn Write + Send>,
    /// A write ended within a line: what comes next must not continue it.
    torn: bool,
}

impl Append for Output {
    fn append(&mut self, lines: &[u8]) -> Result<(), String> {
        if self.torn {
            self.output.write_all(b"\n").map_err(|err| reason(&err))?;
            self.torn = false;
        }
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            let outcome = match self.output.write(rest) {
                Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
                other => other,
            };
            match outcome {
                Ok(count) => written += count,
                Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
                Err(err) => {
                    self.torn = written > 0 && lines.get(written - 1) != Some(&b'\n');
                    return Err(reason(&err));
                }
            }
        }
        self.output.flush().map_err(|err| reason(&err))
    }

    fn check(&mut self) -> Result<(), String> {
        self.output.flush().map_err(|err| reason(&err))
    }
}

fn reason(err: &std::io::Error) -> String {
    format!("standard output cannot be written: {err}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::{Scope, sample};
    use super::*;

    /// Takes so many bytes, then breaks once.
    struct Breaking {
        taken: Arc<Mutex<Vec<u8>>>,
        left: Option<usize>,
    }

    impl Write for Breaking {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let count = match self.left {
                Some(0) => {
                    self.left = None;
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
                Some(left) => left.min(bytes.len()),
                None => bytes.len(),
            };
            self.left = self.left.map(|left| left - count);
            self.taken.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn sink(output: Box<dyn Write + Send>) -> impl Sink {
        build("out".parse().unwrap(), &Settings::default(), output).unwrap()
    }

    #[tokio::test]
    async fn a_broken_pipe_is_waited_for_and_no_line_is_joined_to_a_torn_one() {
        let taken = Arc::default();
        let sink = sink(Box::new(Breaking { taken: Arc::clone(&taken), left: Some(10) }));
        let first = sink.deliver(&[sample::enriched(1)]).await;
        assert!(matches!(&first[..], [Err(SinkError::Unavailable { scope: Scope::Sink, .. })]), "{first:?}");
        assert_eq!(sink.deliver(&[sample::enriched(1), sample::enriched(2)]).await, vec![Ok(Receipt::default()); 2]);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let ids: Vec<_> = text.lines().skip(1).map(sample::id_in).collect();
        assert_eq!((text.lines().next().map(str::len), ids), (Some(10), vec![sample::id(1), sample::id(2)]));
    }

    #[tokio::test]
    async fn a_full_device_is_waited_for() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let outcomes = sink(Box::new(full)).deliver(&[sample::enriched(1)]).await;
        let [Err(SinkError::Unavailable { scope: Scope::Sink, reason, .. })] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert!(reason.contains("No space left"), "{reason}");
    }
}
