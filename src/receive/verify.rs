//! Who may send: `X-Hub-Signature` over the raw bytes, the token in the URL, user name and password. Whatever is configured must
//! hold, all of it.
//!
//! Every comparison takes the same time whether it fails early or late.

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::settings::Proof;
use crate::setting::Secret;

const SCHEME: &[u8] = b"Basic ";

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
    #[error("the user name and password do not fit")]
    Basic,
    #[error("the address it comes from may not send")]
    Address,
}

/// The proofs of one connection, with their keys made ready once.
pub struct Verifier {
    keys: Vec<Keys>,
    token: Option<Secret>,
    basic: Option<Secret>,
}

/// What a request brings as proof, besides its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The header as it came.
    pub signature: Option<&'a [u8]>,
    /// The last part of the path.
    pub token: Option<&'a str>,
    /// The header as it came.
    pub authorization: Option<&'a [u8]>,
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
        let keys = proof.secrets.iter().filter(|secret| !secret.is_empty()).map(Keys::new).collect();
        Self { keys, token: proof.token.clone(), basic: proof.basic.clone() }
    }

    /// Everything but whether the signature fits the body: so a sender that cannot be proven is refused before its body is read. Returns
    /// the signature, where one is due.
    pub(super) fn check_before_body(&self, credentials: Credentials<'_>) -> Result<Option<Signature>, NotProven> {
        self.check_token(credentials.token)?;
        self.check_basic(credentials.authorization)?;
        self.signature(credentials)
    }

    pub fn verify<T: AsRef<[u8]>>(&self, body: T, credentials: Credentials<'_>) -> Result<Verified<T>, NotProven> {
        if let Some(signature) = self.check_before_body(credentials)? {
            self.check_signature(body.as_ref(), &signature)?;
        }
        Ok(Verified(body))
    }

    /// None: no signature is due.
    fn signature(&self, credentials: Credentials<'_>) -> Result<Option<Signature>, NotProven> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        Signature::read(credentials.signature.ok_or(NotProven::NoSignature)?).map(Some)
    }

    /// Whether a sender that was not proven is to be told that user name and password are wanted.
    pub fn wants_basic(&self) -> bool {
        self.basic.is_some()
    }

    fn check_basic(&self, header: Option<&[u8]>) -> Result<(), NotProven> {
        let Some(expected) = &self.basic else { return Ok(()) };
        let encoded = header.and_then(|header| match header.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => Some(rest.trim_ascii()),
            _ => None,
        });
        let given = encoded.and_then(|encoded| base64::engine::general_purpose::STANDARD.decode(encoded).ok()).unwrap_or_default();
        if bool::from(given.ct_eq(expected.expose().as_bytes())) { Ok(()) } else { Err(NotProven::Basic) }
    }

    fn check_token(&self, token: Option<&str>) -> Result<(), NotProven> {
        let Some(expected) = &self.token else { return Ok(()) };
        let given = token.unwrap_or_default().as_bytes();
        if bool::from(given.ct_eq(expected.expose().as_bytes())) { Ok(()) } else { Err(NotProven::Token) }
    }

    fn check_signature(&self, body: &[u8], Signature { method, digest }: &Signature) -> Result<(), NotProven> {
        let fits = |keys: &Keys| match method {
            Method::Sha256 => fits(&keys.sha256, body, digest),
            Method::Sha384 => fits(&keys.sha384, body, digest),
            Method::Sha512 => fits(&keys.sha512, body, digest),
        };
        if self.keys.iter().any(fits) { Ok(()) } else { Err(NotProven::Signature) }
    }
}

/// `METHOD=DIGEST`, as the header says.
pub(super) struct Signature {
    method: Method,
    digest: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Sha256,
    Sha384,
    Sha512,
}

impl Signature {
    fn read(header: &[u8]) -> Result<Self, NotProven> {
        let text = std::str::from_utf8(header).map_err(|_| NotProven::Malformed)?;
        let (method, digest) = text.split_once('=').ok_or(NotProven::Malformed)?;
        let digest = hex::decode(digest).map_err(|_| NotProven::Malformed)?;
        let method = match (method, digest.len()) {
            ("sha256", 32) => Method::Sha256,
            ("sha384", 48) => Method::Sha384,
            ("sha512", 64) => Method::Sha512,
            _ => return Err(NotProven::Signature),
        };
        Ok(Self { method, digest })
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
        Verifier::new(&Proof {
            secrets: secrets.iter().map(|text| Secret::new(*text)).collect(),
            token: token.map(Secret::new),
            basic: None,
        })
    }

    fn claims<'a>(signature: Option<&'a [u8]>, token: Option<&'a str>) -> Credentials<'a> {
        Credentials { signature, token, authorization: None }
    }

    /// The vectors that Atlassian publishes, and two computed in the same way.
    #[test]
    fn published_vectors() {
        let check = |secret: &str, body: &str, digest: &str| {
            let header = format!("sha256={digest}");
            for secrets in [vec![secret], vec!["another", secret]] {
                assert!(verifier(&secrets, None).verify(body, claims(Some(header.as_bytes()), None)).is_ok(), "{body}");
            }
            assert!(
                verifier(&[secret], None)
                    .verify(body, claims(Some(header.to_uppercase().replace("SHA256", "sha256").as_bytes()), None))
                    .is_ok()
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
            let got = verifier.verify("Hello World!", claims(header.map(str::as_bytes), None)).map(|_| ()).expect_err("a forgery");
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
    fn only_the_digest_waits_for_the_body() {
        let both = verifier(&["a secret"], Some("token-1"));
        let formed = format!("sha512={}", "0".repeat(128));
        for (header, token, expected) in [
            (Some(formed.as_str()), Some("token-1"), Ok(())),
            (Some(formed.as_str()), Some("token-2"), Err(NotProven::Token)),
            (Some("sha999=00"), Some("token-1"), Err(NotProven::Signature)),
            (Some("sha256=00"), Some("token-1"), Err(NotProven::Signature)),
            (Some("formless"), Some("token-1"), Err(NotProven::Malformed)),
            (None, Some("token-1"), Err(NotProven::NoSignature)),
        ] {
            assert_eq!(both.check_before_body(claims(header.map(str::as_bytes), token)).map(drop), expected, "{header:?}");
        }
        assert_eq!(verifier(&[], None).check_before_body(Credentials::default()).map(drop), Ok(()));
    }

    #[test]
    fn all_proofs_must_hold() {
        let header = b"sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9".as_slice();
        let both = verifier(&["It's a Secret to Everybody"], Some("token-1"));
        assert!(both.verify("Hello World!", claims(Some(header), Some("token-1"))).is_ok());
        assert_eq!(both.verify("Hello World!", claims(Some(header), None)).map(|_| ()), Err(NotProven::Token));
        assert_eq!(both.verify("Hello World!", claims(None, Some("token-1"))).map(|_| ()), Err(NotProven::NoSignature));
        let token = verifier(&[], Some("token-1"));
        for wrong in [None, Some(""), Some("token-"), Some("token-11"), Some("TOKEN-1")] {
            assert_eq!(token.verify("", claims(None, wrong)).map(|_| ()), Err(NotProven::Token), "{wrong:?}");
        }
        assert!(verifier(&[], None).verify("anything", Credentials::default()).is_ok());
    }

    #[test]
    fn user_name_and_password_are_a_proof_beside_the_others() {
        let basic = |secrets: Vec<Secret>| Verifier::new(&Proof { secrets, token: None, basic: Some(Secret::new("jira:pa:ss")) });
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        for (header, proven) in [
            (Some(format!("Basic {}", encoded("jira:pa:ss"))), true),
            (Some(format!("basic  {}", encoded("jira:pa:ss"))), true),
            (Some(format!("Basic {}", encoded("jira:pa"))), false),
            (Some(format!("Basic {}", encoded("jira:pa:ss2"))), false),
            (Some(format!("Bearer {}", encoded("jira:pa:ss"))), false),
            (Some(encoded("jira:pa:ss")), false),
            (Some("Basic jira:pa:ss".to_owned()), false),
            (Some("Basic".to_owned()), false),
            (None, false),
        ] {
            let credentials = Credentials { authorization: header.as_deref().map(str::as_bytes), ..Credentials::default() };
            assert_eq!(basic(Vec::new()).verify("", credentials).is_ok(), proven, "{header:?}");
            let both = basic(vec![Secret::new("a secret")]).verify("", credentials).map(|_| ());
            assert_eq!(both, Err(if proven { NotProven::NoSignature } else { NotProven::Basic }), "all proofs must hold");
        }
    }
}
