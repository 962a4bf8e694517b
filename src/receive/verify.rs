//! Who may send: `X-Hub-Signature` over the raw bytes, and the token in the URL. Whatever is configured must hold, all of it.
//!
//! Every comparison takes the same time whether it fails early or late.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::settings::Proof;
use crate::setting::Secret;

/// Something whose sender is proven. Only a `Verifier` can make one.
#[derive(Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Why a sender is not proven. For the log and the answer: it never tells what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    #[error("the signature is missing")]
    NoSignature,
    #[error("the signature has a form that is not understood")]
    Malformed,
    #[error("the signature does not fit")]
    Signature,
    #[error("the token does not fit")]
    Token,
}

/// The proofs of one connection, with their keys made ready once.
pub struct Verifier {
    keys: Vec<Keys>,
    token: Option<Secret>,
}

/// One secret as the key of each method.
struct Keys {
    sha256: Hmac<Sha256>,
    sha384: Hmac<Sha384>,
    sha512: Hmac<Sha512>,
}

impl Keys {
    fn new(secret: &Secret) -> Self {
        let key = secret.expose().as_bytes();
        let any = "HMAC takes keys of any length";
        Self {
            sha256: Hmac::new_from_slice(key).expect(any),
            sha384: Hmac::new_from_slice(key).expect(any),
            sha512: Hmac::new_from_slice(key).expect(any),
        }
    }
}

impl Verifier {
    /// Without any proof everything is taken: the configuration allows that only in so many words.
    pub fn new(proof: &Proof) -> Self {
        Self { keys: proof.secrets.iter().filter(|secret| !secret.is_empty()).map(Keys::new).collect(), token: proof.token.clone() }
    }

    /// `signature` is the header as it came, `token` the last part of the path.
    pub fn verify<T: AsRef<[u8]>>(&self, body: T, signature: Option<&[u8]>, token: Option<&str>) -> Result<Verified<T>, NotProven> {
        self.check_token(token)?;
        if !self.keys.is_empty() {
            self.check_signature(body.as_ref(), signature.ok_or(NotProven::NoSignature)?)?;
        }
        Ok(Verified(body))
    }

    /// What can be told before the body is read: whoever fails here fails in any case.
    pub fn may_prove(&self, has_signature: bool, token: Option<&str>) -> Result<(), NotProven> {
        self.check_token(token)?;
        if has_signature || self.keys.is_empty() { Ok(()) } else { Err(NotProven::NoSignature) }
    }

    fn check_token(&self, token: Option<&str>) -> Result<(), NotProven> {
        let Some(expected) = &self.token else { return Ok(()) };
        let given = token.unwrap_or_default().as_bytes();
        if bool::from(given.ct_eq(expected.expose().as_bytes())) { Ok(()) } else { Err(NotProven::Token) }
    }

    fn check_signature(&self, body: &[u8], header: &[u8]) -> Result<(), NotProven> {
        let text = std::str::from_utf8(header).map_err(|_| NotProven::Malformed)?;
        let (method, digest) = text.split_once('=').ok_or(NotProven::Malformed)?;
        let digest = hex::decode(digest).map_err(|_| NotProven::Malformed)?;
        let fits = |keys: &Keys| match method {
            "sha256" => fits(&keys.sha256, body, &digest),
            "sha384" => fits(&keys.sha384, body, &digest),
            "sha512" => fits(&keys.sha512, body, &digest),
            _ => false,
        };
        if self.keys.iter().any(fits) { Ok(()) } else { Err(NotProven::Signature) }
    }
}

fn fits<M: Mac + Clone>(key: &M, body: &[u8], digest: &[u8]) -> bool {
    let mut mac = key.clone();
    mac.update(body);
    mac.verify_slice(digest).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(secrets: &[&str], token: Option<&str>) -> Verifier {
        Verifier::new(&Proof { secrets: secrets.iter().map(|text| Secret::new(*text)).collect(), token: token.map(Secret::new) })
    }

    /// The vectors that Atlassian publishes, and two computed in the same way.
    #[test]
    fn published_vectors() {
        let check = |secret: &str, body: &str, digest: &str| {
            let header = format!("sha256={digest}");
            for secrets in [vec![secret], vec!["another", secret]] {
                assert!(verifier(&secrets, None).verify(body, Some(header.as_bytes()), None).is_ok(), "{body}");
            }
            assert!(
                verifier(&[secret], None).verify(body, Some(header.to_uppercase().replace("SHA256", "sha256").as_bytes()), None).is_ok()
            );
        };
        check("It's a Secret to Everybody", "Hello World!", "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9");
        check("It's a Secret to Everybody", "", "66a0c074deaa0f489ead6537e0d32f9a344b90bbeda705b6ed45ecd3b413fb40");
        check("schlüssel-🔑", "{\"summary\":\"Größe – 日本\"}", "4a2c558862d6d1cb7869156d1ea22a4b91c8d89426832a47b049068932153e51");
    }

    #[test]
    fn forgeries_are_refused() {
        let right = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
        let verifier = verifier(&["It's a Secret to Everybody"], None);
        let check = |header: Option<&str>, expected| {
            let got = verifier.verify("Hello World!", header.map(str::as_bytes), None).map(|_| ()).expect_err("a forgery");
            assert_eq!(got, expected, "{header:?}");
        };
        check(None, NotProven::NoSignature);
        check(Some(""), NotProven::Malformed);
        check(Some(right), NotProven::Malformed);
        check(Some("sha256="), NotProven::Signature);
        check(Some(&format!("sha256={}", &right[..32])), NotProven::Signature);
        check(Some(&format!("sha256={right}00")), NotProven::Signature);
        check(Some(&format!("sha512={right}")), NotProven::Signature);
        check(Some(&format!("sha1={right}")), NotProven::Signature);
        check(Some(&format!("sha999={right}")), NotProven::Signature);
        check(Some(&format!("sha256={}", "zz".repeat(32))), NotProven::Malformed);
        check(Some(&format!("sha256={}0", &right[..63])), NotProven::Signature);
    }

    #[test]
    fn all_proofs_must_hold() {
        let header = b"sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9".as_slice();
        let both = verifier(&["It's a Secret to Everybody"], Some("token-1"));
        assert!(both.verify("Hello World!", Some(header), Some("token-1")).is_ok());
        assert_eq!(both.verify("Hello World!", Some(header), None).map(|_| ()), Err(NotProven::Token));
        assert_eq!(both.verify("Hello World!", None, Some("token-1")).map(|_| ()), Err(NotProven::NoSignature));
        let token = verifier(&[], Some("token-1"));
        for wrong in [None, Some(""), Some("token-"), Some("token-11"), Some("TOKEN-1")] {
            assert_eq!(token.verify("", None, wrong).map(|_| ()), Err(NotProven::Token), "{wrong:?}");
        }
        assert!(verifier(&[], None).verify("anything", None, None).is_ok());
    }
}
