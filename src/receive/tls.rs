//! TLS of the receiver: a certificate with its key, from files that may change while the service runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `receiver.tls`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM: the certificate of this server, then those between it and the authority.
    pub certificate: PathBuf,
    /// PEM: its private key, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// Name a file that is there, readable and PEM.
    #[error("`{}` cannot be read: {why}; it must be a file in PEM that the service may read", path.display())]
    File { path: PathBuf, why: String },
    /// Take the key that the certificate was made with.
    #[error("certificate and key cannot be used: {why}; both must belong together")]
    Pair { why: String },
}

/// A certificate at work; connections that are open keep the one they began with.
#[derive(Clone)]
pub struct Tls {
    settings: TlsSettings,
    pub(crate) config: RustlsConfig,
}

impl Tls {
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self { settings: settings.clone(), config: RustlsConfig::from_config(Arc::new(read(settings)?)) })
    }

    /// Reads the files again; after a mistake the certificate of before stays.
    pub fn renew(&self) -> Result<(), TlsError> {
        self.config.reload_from_config(Arc::new(read(&self.settings)?));
        Ok(())
    }
}

fn read(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| TlsError::File { path: path.to_owned(), why: why.to_string() };
    let pair = |err: rustls::Error| TlsError::Pair { why: err.to_string() };
    let certificates = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|err| failed(&settings.certificate, &err))?;
    if certificates.is_empty() {
        return Err(failed(&settings.certificate, &"no certificate is in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|err| failed(&settings.key, &err))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = builder.map_err(pair)?.with_no_client_auth().with_single_cert(certificates, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str) -> TlsSettings {
        let made = rcgen::generate_simple_self_signed(vec!["wire.example".to_owned()]).expect("a certificate");
        let settings = TlsSettings { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
        std::fs::write(&settings.certificate, made.cert.pem()).expect("a file");
        std::fs::write(&settings.key, made.signing_key.serialize_pem()).expect("a file");
        settings
    }

    #[test]
    fn certificates_are_read_and_mistakes_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, second) = (write(directory.path(), "first"), write(directory.path(), "second"));
        let tls = Tls::load(&first).expect("a good pair");
        assert_eq!(tls.renew(), Ok(()));
        let mixed = TlsSettings { key: second.key.clone(), ..first.clone() };
        assert!(matches!(Tls::load(&mixed).err(), Some(TlsError::Pair { .. })));
        let swapped = TlsSettings { certificate: first.key.clone(), key: first.certificate.clone() };
        let told = Tls::load(&swapped).err().expect("no certificate").to_string();
        assert!(told.contains("no certificate is in it"), "{told}");
        let missing = TlsSettings { certificate: directory.path().join("missing"), ..first.clone() };
        assert!(matches!(Tls::load(&missing).err(), Some(TlsError::File { .. })));
        let before = tls.config.get_inner();
        std::fs::write(&first.certificate, "half a fi").expect("a file");
        assert!(tls.renew().is_err());
        assert!(Arc::ptr_eq(&before, &tls.config.get_inner()), "the one of before stays");
    }
}
