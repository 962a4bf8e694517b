//! Signatures as Standard Webhooks say: HMAC-SHA256 over `id.timestamp.body`, in Base64, after the name of the scheme.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::setting::Secret;

const PREFIX: &str = "whsec_";
const SCHEME: &str = "v1";
/// Secrets are handed around with and without padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A key, ready to sign.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// `whsec_` and Base64, or any other text, whose bytes are the key. Err: what is wrong, without the secret.
    pub fn new(secret: &Secret) -> Result<Self, &'static str> {
        let text = secret.expose();
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => BASE64.decode(encoded).map_err(|_| "after `whsec_` must come Base64")?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return Err("it is empty, so that anybody could sign");
        }
        Ok(Self(Hmac::new_from_slice(&bytes).expect("a key of any length will do")))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("{SCHEME},{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Key, &'static str> {
        Key::new(&Secret::new(text))
    }

    #[test]
    fn the_published_vector_is_met() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_base64_or_any_text() {
        let signed = |text: &str| key(text).expect("a key").sign("id", 1, b"body");
        assert_eq!(signed("whsec_cGxhaW4="), signed("plain"));
        assert_eq!(signed("whsec_cGxhaW4"), signed("plain"));
        assert_ne!(signed("plain"), signed("plane"));
        for bad in ["", "whsec_", "whsec_***"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
