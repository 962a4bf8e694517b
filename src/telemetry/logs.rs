//! Logs on stderr: text for people at a terminal, one JSON object per line elsewhere.
//!
//! Crates of others are held at `warn` whatever the level: at `debug` they print URLs, headers and SQL, which hold secrets and
//! personal data. The `log` crate is not listened to at all, for the same reason, nor is lapin, which prints whole messages as warnings;
//! what it warns of comes back to us as errors.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Our own targets: the library and the binary are both `ticketwire`.
const OURS: &str = env!("CARGO_PKG_NAME");
const SILENT: &str = "lapin";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Mend the level that was given.
    #[error("`{level}` is no log level: {reason}; write `info`, `debug`, or `ticketwire::deliver=debug,info`")]
    Level { level: String, reason: ParseError },
    /// Somebody installed another one before: a mistake in this program.
    #[error("logs are installed already")]
    Twice,
}

/// The wanted level: `--log`, else `TICKETWIRE_LOG`, else `RUST_LOG`, else `info`.
pub fn level(option: Option<&str>, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let given = option.map(str::to_owned).or_else(|| variable("TICKETWIRE_LOG")).or_else(|| variable("RUST_LOG"));
    given.filter(|level| !level.trim().is_empty()).unwrap_or_else(|| "info".to_owned())
}

/// Starts logging for the whole process. `level` is an `EnvFilter`: `info`, `debug`, `ticketwire::deliver=debug,info`.
pub fn install(level: &str) -> Result<(), LogError> {
    let is_terminal = std::io::stderr().is_terminal();
    let has_color = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layer = layer(level, if is_terminal { Form::Text { has_color } } else { Form::Json }, std::io::stderr)?;
    tracing_subscriber::registry().with(layer).try_init().map_err(|_| LogError::Twice)
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Text { has_color: bool },
    Json,
}

fn layer<S, W>(level: &str, form: Form, writer: W) -> Result<Box<dyn Layer<S> + Send + Sync>, LogError>
where
    S: Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(level).map_err(|reason| LogError::Level { level: level.to_owned(), reason })?;
    let filter = Capped { filter };
    Ok(match form {
        Form::Text { has_color } => fmt::layer().with_ansi(has_color).with_target(false).with_writer(writer).with_filter(filter).boxed(),
        Form::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).with_filter(filter).boxed(),
    })
}

/// What was asked for, except from crates of others below `warn`.
struct Capped {
    filter: EnvFilter,
}

impl Capped {
    fn is_allowed(metadata: &Metadata<'_>) -> bool {
        let is_of = |krate| metadata.target().strip_prefix(krate).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with("::"));
        is_of(OURS) || (*metadata.level() <= Level::WARN && !is_of(SILENT))
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
        let layer = layer(level, form, move || writer.clone()).expect("a good level");
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
        assert_eq!(level(Some("trace"), &variable), "trace");
        assert_eq!(level(None, &variable), "warn");
        assert_eq!(level(None, &|name| variable(name).filter(|_| name == "RUST_LOG")), "debug");
        assert_eq!(level(None, &|_| None), "info");
        assert_eq!(level(None, &|_| Some(String::new())), "info");
        assert!(layer::<tracing_subscriber::Registry, _>("no=such=level", Form::Json, std::io::stderr).is_err());
    }
}
