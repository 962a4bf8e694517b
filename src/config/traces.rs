//! `[traces]`: the collector, with its headers resolved. A build that cannot send traces says so where one is configured.

use std::path::Path;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::secrets::{self, Reading};
use super::tree::{self, members};
use crate::telemetry::{Collector, TRACES_ARE_BUILT, TraceSettings};

pub(crate) fn read<'a>(
    mut section: Section<'a>,
    data_dir: &Path,
    fingerprint: &mut Fingerprint,
    reading: &mut Reading<'a>,
) -> Option<Collector> {
    fingerprint.add(&section, secrets::TRACES);
    secrets::resolve(&mut section, secrets::TRACES, data_dir, reading);
    fingerprint.mark(&section);
    let (settings, section) = fit::<TraceSettings>(&section, &[], reading.sources, &mut reading.problems)?;
    if settings.endpoint.is_some() && !TRACES_ARE_BUILT {
        let place = section.place(&members(&["endpoint"]), reading.sources);
        let hint = "build it with `--features otel`, or remove `endpoint`";
        reading.problems.add(place, "`endpoint` of `[traces]`: this build has no OpenTelemetry", hint);
        return None;
    }
    let wrongs = match settings.collector() {
        Ok(collector) => return collector,
        Err(wrongs) => wrongs,
    };
    for wrong in wrongs {
        let path = members(&wrong.path.iter().map(String::as_str).collect::<Vec<_>>());
        let message = format!("`{}` of `[traces]`: {}", tree::label(&path), wrong.why);
        reading.problems.add(section.place(&path, reading.sources), message, wrong.hint);
    }
    None
}
