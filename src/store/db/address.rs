//! Where a Postgres is, and as whom it is spoken to: what its URL says.
//!
//! What the URL leaves out, the usual `PG...` variables and `~/.pgpass` give. Nothing here repeats a password.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::super::Settings;
use super::STATEMENTS_KEPT;

/// Parameters that a URL may have besides `options[...]`; another one would be ignored silently.
const PARAMETERS: &[&str] = &["sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "options", "host"];
const FILES: &[&str] = &["sslrootcert", "sslcert", "sslkey"];

/// Err: what is wrong, for people, without the password.
pub(super) fn options(settings: &Settings, data_dir: &Path) -> Result<PgConnectOptions, String> {
    let mut url = Url::parse(&settings.url).map_err(|err| format!("it is no URL: {err}"))?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    for (name, _) in &pairs {
        if !PARAMETERS.contains(&name.as_str()) && !name.starts_with("options[") {
            let known = PARAMETERS.join("`, `");
            return Err(format!("`{name}` is no parameter that is known: there are `{known}` and `options[...]`"));
        }
    }
    if !pairs.is_empty() {
        let absolute = |(name, value): (String, String)| match FILES.contains(&name.as_str()) {
            true => (name, data_dir.join(value).display().to_string()),
            false => (name, value),
        };
        url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(absolute));
    }
    let mut options = PgConnectOptions::from_url(&url).map_err(|err| match err {
        sqlx::Error::Configuration(why) => why.to_string(),
        other => other.to_string(),
    })?;
    // An IPv6 address stands in brackets in a URL and nowhere else.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    options = options.host(&host).statement_cache_capacity(STATEMENTS_KEPT).disable_statement_logging();
    if options.get_application_name().is_none() {
        options = options.application_name("ticketwire");
    }
    // The configuration has resolved it; a source that is none any more is told there.
    if let Some(password) = settings.password.as_ref().and_then(|source| source.resolve(&|_| None).ok()) {
        options = options.password(password.expose());
    }
    Ok(options)
}

/// What the URL names besides the server.
pub(super) fn files(url: &str, data_dir: &Path) -> Vec<PathBuf> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    url.query_pairs().filter(|(name, _)| FILES.contains(&name.as_ref())).map(|(_, value)| data_dir.join(value.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::SecretSource;

    fn settings(url: &str) -> Settings {
        Settings { url: url.into(), ..Settings::default() }
    }

    #[test]
    fn a_url_says_where_and_as_whom() {
        let check = |url: &str, host: &str, port: u16, user: &str, database: &str| {
            let options = options(&settings(url), Path::new("/data")).expect("it can be used");
            assert_eq!((options.get_host(), options.get_port(), options.get_username()), (host, port, user), "{url}");
            assert_eq!(options.get_database(), Some(database), "{url}");
        };
        check("postgres://wire@db.example/tickets", "db.example", 5432, "wire", "tickets");
        check("postgresql://wi%40re:s%2Fx@127.0.0.1:6000/tickets?sslmode=disable", "127.0.0.1", 6000, "wi@re", "tickets");
        check("postgres://wire@[::1]:6000/tickets", "::1", 6000, "wire", "tickets");
    }

    #[test]
    fn the_password_is_taken_from_where_it_is() {
        let given = Settings { password: Some(SecretSource::literal("hunter/2")), ..settings("postgres://wire:other@db/x") };
        let options = options(&given, Path::new("/data")).expect("it can be used");
        assert!(options.to_url_lossy().as_str().contains("wire:hunter%2F2@"), "it goes before the one of the URL");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let check = |url: &str, expected: &str| {
            let why = options(&settings(url), Path::new("/data")).expect_err("it cannot be used");
            assert!(why.contains(expected) && !why.contains("hunter2"), "{url}: {why}");
        };
        check("postgres://wire:hunter2@db:notaport/x", "it is no URL: invalid port number");
        check("postgres://wire:hunter2@db/x?sslmode=maybe", "unknown value \"maybe\" for `ssl_mode`");
        check("postgres://wire@db/x?password=hunter2", "`password` is no parameter that is known");
        check("postgres://wire:hunter2@db/x?sslmod=require", "`sslmod` is no parameter that is known");
    }

    #[test]
    fn files_lie_where_the_data_lie() {
        let options = options(&settings("postgres://wire@db/x?sslmode=verify-full&sslrootcert=ca.pem"), Path::new("/data"));
        assert!(options.expect("it can be used").to_url_lossy().as_str().contains("sslrootcert=file%3A+%2Fdata%2Fca.pem"));
    }
}
