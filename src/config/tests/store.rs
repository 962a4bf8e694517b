//! `[store]` on a server: what is refused, what is warned about, and where its password stays.

use super::super::resolved;
use super::Files;

#[test]
fn a_store_on_a_server_is_told_about() {
    let check = |store: &str, expected: &str| {
        let report = Files::new(&format!("[store]\n{store}")).report(&[]);
        assert!(report.contains(expected) && !report.contains("hunter2"), "{store}: {report}");
    };
    check("url = \"postgres://wire@db/x?sslmod=require\"", "toml:2: `url` of `[store]`: `sslmod` is no parameter that is known: there are");
    check("url = \"postgres://wire@db/x?password=hunter2\"", "`url` of `[store]`: `password` is no parameter that is known");
    check("url = \"postgres://wire:hunter2@db:port/x\"", "`url` of `[store]`: it is no URL: invalid port number");
    check("url = \"postgres://wire:hunter2@db/x\"\npassword = \"y\"", "toml:2: `[store]` has a password in `url` and in `password`");
    check("password = { env = \"GONE\" }", "toml:2: `password` of `[store]`: the environment variable `GONE` is not set");
    check("schema = \"Wire; DROP\"", "toml:2: `schema` of `[store]`: `Wire; DROP` is not a name");
    check("connections = 1", "toml:2: `connections` of `[store]`: 1 connections are too few or too many");
    check("timeout = \"0s\"", "toml:2: `timeout` of `[store]`: it is too short or too long");
}

/// Whoever prints the configuration, or compares its hash, learns nothing of the password.
#[test]
fn the_password_of_the_store_is_kept_apart() {
    let check = |store: &str, environment: &[(&str, &str)], warnings: &[&str]| {
        let config = Files::new(&format!("[store]\n{store}")).load(environment);
        let password = config.store.password.as_ref().map(resolved).expect("a password");
        assert_eq!((password.expose(), config.store.url.as_str()), ("hunter/2", "postgres://wire@127.0.0.1/x"), "{store}");
        assert!(!format!("{config:?}").contains("hunter"), "{store}");
        let found: Vec<&str> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(found, warnings, "{store}");
        config.hash().to_owned()
    };
    let literal = "the password of `[store]` stands in the file itself";
    let inline = check("url = \"postgres://wire:hunter%2F2@127.0.0.1/x\"", &[], &[literal]);
    let variable = ("TICKETWIRE__STORE__URL", "postgres://wire:hunter%2F2@127.0.0.1/x");
    assert_ne!(check("connections = 5", &[variable], &[]), inline, "what else is configured counts");
    let beside = "url = \"postgres://wire@127.0.0.1/x\"\npassword = ";
    check(&format!("{beside}{{ env = \"PASSWORD\" }}"), &[("PASSWORD", "hunter/2")], &[]);
    check(&format!("{beside}\"hunter/2\""), &[], &["`password` of `[store]` stands in the file itself"]);
    let other = Files::new("[store]\nurl = \"postgres://wire:other@127.0.0.1/x\"").load(&[]);
    assert_eq!(other.hash(), inline, "the password is no part of the hash");
}

#[test]
fn a_connection_over_a_network_should_prove_whom_it_reaches() {
    let check = |url: &str, expected: usize| {
        let config = Files::new(&format!("[store]\nurl = \"{url}\"")).load(&[]);
        assert_eq!(config.warnings.len(), expected, "{url}: {:?}", config.warnings);
    };
    check("postgres://wire@db.example/x", 1);
    check("postgres://wire@db.example/x?sslmode=require", 1);
    check("postgres://wire@db.example/x?sslmode=verify-full", 0);
    for url in ["postgres://wire@localhost/x", "postgres://wire@127.0.0.1:5433/x", "postgres://wire@[::1]/x", "postgres:///x?host=/run/pg"]
    {
        check(url, 0);
    }
    check("postgres://wire@%2Frun%2Fpostgresql/x", 0);
}
