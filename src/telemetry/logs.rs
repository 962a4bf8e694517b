//! Logs on stderr: text for people at a terminal, one JSON object per line elsewhere.
//!
//! Crates of others are held at `warn` whatever the level: at `debug` they print URLs, headers and SQL, which hold secrets and
//! personal data. The `log` crate is not listened to at all, for the same reason, nor is lapin, which prints whole messages as warnings;
//! what it warns of comes back to us as errors. Spans are for traces: no line shows them.

use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::traces::Traces;

/// Our own targets: the library and the binary are both `ticketwire`.
const OURS: &str = env!("CARGO_PKG_NAME");
const SILENT: &str = "lapin";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The given level is wrong and must be corrected.
    #[error("`{level}` is no log level: {reason}; write `info`, `debug`, or `ticketwire::deliver=debug,info`")]
    Level { level: String, reason: ParseError },
    /// Somebody installed another one before: a mistake in this program.
    #[error("logs are installed already")]
    Twice,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// What is logged, unless `--log` or a variable says it: `info`, `debug`, or a filter as in `ticketwire::deliver=debug,info`.
    pub level: Option<String>,
}

impl LogSettings {
    pub fn check(&self) -> Result<(), LogError> {
        self.level.as_deref().map_or(Ok(()), |level| filter(level).map(drop))
    }
}

/// The wanted level: `--log`, else `TICKETWIRE_LOG`, else `RUST_LOG`, else the configuration's, else `info`.
pub fn level(option: Option<&str>, variable: &dyn Fn(&str) -> Option<String>, configured: Option<&str>) -> String {
    let given = option.map(str::to_owned).or_else(|| variable("TICKETWIRE_LOG")).or_else(|| variable("RUST_LOG"));
    let given = given.filter(|level| !level.trim().is_empty()).or_else(|| configured.map(str::to_owned));
    given.unwrap_or_else(|| "info".to_owned())
}

/// The level of the logs at work, which may change.
pub struct Levels {
    handle: Handle<Capped, Registry>,
}

impl Levels {
    /// Changes the level of the running process.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        // This fails only if the subscriber is gone, and then nothing is logged at all.
        let _ = self.handle.reload(Capped { filter });
        Ok(())
    }
}

/// Starts logging for the whole process, and tracing where there are traces. `level` is an `EnvFilter`: `info`, `debug`,
/// `ticketwire::deliver=debug,info`.
pub fn install(level: &str, traces: Option<&Traces>) -> Result<Levels, LogError> {
    let is_terminal = std::io::stderr().is_terminal();
    let has_color = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (changing, handle) = reload::Layer::new(Capped { filter: filter(level)? });
    let layer = layer(changing, if is_terminal { Form::Text { has_color } } else { Form::Json }, std::io::stderr);
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = std::iter::once(layer).chain(traces.map(Traces::layer)).collect();
    tracing_subscriber::registry().with(layers).try_init().map_err(|_| LogError::Twice)?;
    Ok(Levels { handle })
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(level).map_err(|reason| LogError::Level { level: level.to_owned(), reason })
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Text { has_color: bool },
    Json,
}

fn layer<S, W, F>(filter: F, form: Form, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    F: Filter<S> + Send + Sync + 'static,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    match form {
        Form::Text { has_color } => fmt::layer().with_ansi(has_color).with_target(false).with_writer(writer).with_filter(filter).boxed(),
        Form::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).with_filter(filter).boxed(),
    }
}

/// What was asked for, except spans, and crates of others below `warn`.
struct Capped {
    filter: EnvFilter,
}

impl Capped {
    fn is_allowed(metadata: &Metadata<'_>) -> bool {
        let is_of = |krate| metadata.target().strip_prefix(krate).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with("::"));
        !metadata.is_span() && (is_of(OURS) || (*metadata.level() <= Level::WARN && !is_of(SILENT)))
    }
}

impl<S: Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>> Filter<S> for Capped {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        Self::is_allowed(metadata) && Filter::<S>::enabled(&self.filter, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::is_allowed(metadata) { Filter::<S>::callsite_enabled(&self.filter, metadata) } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.filter)
    }

    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, id: &tracing::span::Id, context: Context<'_, S>) {
        self.filter.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &tracing::span::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        Filter::<S>::on_record(&self.filter, id, values, context);
    }

    fn on_enter(&self, id: &tracing::span::Id, context: Context<'_, S>) {
        Filter::<S>::on_enter(&self.filter, id, context);
    }

    fn on_exit(&self, id: &tracing::span::Id, context: Context<'_, S>) {
        Filter::<S>::on_exit(&self.filter, id, context);
    }

    fn on_close(&self, id: tracing::span::Id, context: Context<'_, S>) {
        Filter::<S>::on_close(&self.filter, id, context);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, form: Form, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = layer(Capped { filter: filter(level).expect("a good level") }, form, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = written.0.lock().expect("no panic while writing").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn others_never_speak_below_warn() {
        for level in ["debug", "trace", "hyper=trace,reqwest=debug", "sqlx=info,debug"] {
            let text = logged(level, Form::Json, || {
                tracing::debug!(target: "hyper::client", "GET https://jira.example/?secret=x");
                tracing::info!(target: "sqlx::query", "select");
                tracing::debug!(target: "ticketwired", "another crate");
                tracing::warn!(target: "h2::codec", "odd frame");
                tracing::warn!(target: "lapin::returned_messages", "a whole message");
            });
            let others: Vec<&str> = text.lines().filter(|line| !line.contains("odd frame")).collect();
            assert_eq!(others, [""; 0], "{level}");
        }
        let text = logged("debug", Form::Json, || {
            tracing::debug!(target: "ticketwire::deliver", "ours");
            tracing::warn!(target: "h2::codec", "odd frame");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_line_is_an_object_with_its_fields() {
        let text = logged("info", Form::Json, || {
            tracing::info!(target: "ticketwire::app", sink = "team", "sink `team` is paused");
            tracing::debug!(target: "ticketwire::app", "not asked for");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("INFO"), Some("sink `team` is paused")));
        assert_eq!((line["sink"].as_str(), line["target"].as_str()), (Some("team"), Some("ticketwire::app")));
    }

    #[test]
    fn a_line_shows_no_span() {
        for form in [Form::Json, Form::Text { has_color: false }] {
            let text = logged("trace", form, || {
                let other = tracing::error_span!(target: "hyper::client", "request", url = "hush");
                let ours = tracing::info_span!(target: "ticketwire::traces", "deliver", event.id = "hush");
                other.in_scope(|| ours.in_scope(|| tracing::info!(target: "ticketwire::app", "inside")));
            });
            assert!(text.contains("inside") && !["hush", "deliver", "request", "span"].iter().any(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn people_get_text() {
        let text = logged("info", Form::Text { has_color: false }, || tracing::warn!(target: "ticketwire", sink = "team", "slow"));
        assert!(text.trim_end().ends_with("WARN slow sink=\"team\""), "{text}");
    }

    #[test]
    fn the_level_is_looked_for_in_order() {
        let variable = |name: &str| match name {
            "TICKETWIRE_LOG" => Some("warn".to_owned()),
            "RUST_LOG" => Some("debug".to_owned()),
            _ => None,
        };
        assert_eq!(level(Some("trace"), &variable, Some("error")), "trace");
        assert_eq!(level(None, &variable, Some("error")), "warn");
        assert_eq!(level(None, &|name| variable(name).filter(|_| name == "RUST_LOG"), Some("error")), "debug");
        assert_eq!(level(None, &|_| None, Some("error")), "error");
        assert_eq!(level(None, &|_| None, None), "info");
        assert_eq!(level(None, &|_| Some(String::new()), None), "info");
        assert!(LogSettings { level: Some("no=such=level".into()) }.check().is_err());
    }

    #[test]
    fn the_level_may_change() {
        let written = Written::default();
        let writer = written.clone();
        let (changing, handle) = reload::Layer::new(Capped { filter: filter("info").expect("a level") });
        let levels = Levels { handle };
        let subscriber = tracing_subscriber::registry().with(layer(changing, Form::Json, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "ticketwire::app", "before");
            levels.set("debug").expect("a level");
            tracing::debug!(target: "ticketwire::app", "after");
            tracing::debug!(target: "hyper::client", "of others");
            assert!(levels.set("no=such=level").is_err());
            tracing::debug!(target: "ticketwire::app", "still");
        });
        let text = String::from_utf8(written.0.lock().expect("no panic while writing").clone()).expect("text");
        assert_eq!(["before", "after", "of others", "still"].map(|word| text.contains(word)), [false, true, false, true], "{text}");
    }
}
