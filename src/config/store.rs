//! `[store]`: its secret, a password out of the URL, and what is wrong with the rest.

use std::borrow::Cow;
use std::path::Path;

use percent_encoding::percent_decode_str;
use toml::de::DeValue;
use url::{Host, Url};

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::secrets::{self, Reading};
use super::tree::{self, members};
use crate::setting::SecretSource;
use crate::store::Settings;

pub(crate) fn read<'a>(mut section: Section<'a>, data_dir: &Path, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> Settings {
    // First of all, so that neither the hash nor the settings' own texts ever see it.
    let password = take_password(&mut section, reading);
    fingerprint.add(&section, secrets::STORE);
    secrets::resolve(&mut section, secrets::STORE, data_dir, reading);
    fingerprint.mark(&section);
    let fitted = fit::<Settings>(&section, &[], reading.sources, &mut reading.problems);
    let mut store = fitted.map(|(settings, _)| settings).unwrap_or_default();
    for wrong in store.wrong() {
        let place = section.place(&members(&[wrong.setting]), reading.sources);
        reading.problems.add(place, format!("`{}` of `[store]`: {}", wrong.setting, wrong.what), wrong.hint);
    }
    store.password = password.map(SecretSource::literal).or(store.password);
    if let Some(path) = store.url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        store.url = format!("sqlite:{}", data_dir.join(path).display());
    }
    warn_unproven(&store, &section, reading);
    store
}

/// The password that stands in the URL, which is left without.
fn take_password(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let path = members(&["url"]);
    let place = section.place(&path, reading.sources);
    let is_given = tree::get(&section.value, &members(&["password"])).is_some();
    let value = tree::get_mut(&mut section.value, &path)?;
    let is_overridden = reading.sources.variable_at(value.span().start).is_some();
    let mut url = value.get_ref().as_str().and_then(|text| Url::parse(text).ok())?;
    let password = percent_decode_str(url.password()?).decode_utf8_lossy().into_owned();
    url.set_password(None).ok()?;
    *value.get_mut() = DeValue::String(Cow::Owned(url.into()));
    if is_given {
        reading.problems.add(place, "`[store]` has a password in `url` and in `password`", "remove it from `url`");
    } else if !is_overridden {
        let hint = "take it out of `url` and write `password = { env = \"NAME\" }` or `password = { file = \"/path\" }`";
        reading.warn(place, "the password of `[store]` stands in the file itself", hint);
    }
    Some(password)
}

/// Over a network, an encrypted connection to nobody knows whom is no protection.
fn warn_unproven(store: &Settings, section: &Section<'_>, reading: &mut Reading<'_>) {
    let Ok(url) = Url::parse(&store.url) else { return };
    let is_local = match url.host() {
        None => true,
        Some(Host::Domain(name)) => name == "localhost" || name.starts_with("%2F") || name.parse().is_ok_and(is_loopback),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    let is_proven = url.query_pairs().any(|(name, value)| name == "sslmode" && value == "verify-full");
    let is_elsewhere = url.query_pairs().any(|(name, _)| name == "host");
    if !is_local && !is_proven && !is_elsewhere && url.scheme().starts_with("postgres") {
        let place = section.place(&members(&["url"]), reading.sources);
        let hint = "add `?sslmode=verify-full` to `url`, and `&sslrootcert=FILE` if the certificate is of an authority of your own";
        reading.warn(place, "the connection to Postgres does not prove whom it reaches: what lies between could read and change all", hint);
    }
}

fn is_loopback(address: std::net::IpAddr) -> bool {
    address.is_loopback()
}
