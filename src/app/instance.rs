//! The name of this process among its like: the same after a restart in the same data directory, and nobody else's.

use std::io;
use std::path::Path;

const FILE: &str = "instance";
const LENGTH_MAX: usize = 64;

/// The name that is set; else the one in the data directory, which is made at the first start.
pub(super) fn name(set: Option<&str>, data_dir: &Path) -> io::Result<String> {
    if let Some(set) = set {
        return Ok(set.to_owned());
    }
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if is_name(text.trim()) => Ok(text.trim().to_owned()),
        Ok(_) => Err(io::Error::other(format!("`{}` does not hold a name: remove it", path.display()))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let name = format!("worker-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
            std::fs::write(&path, &name)?;
            Ok(name)
        }
        Err(err) => Err(err),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_and_is_nobody_elses() {
        let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let first = name(None, one.path()).expect("a name");
        assert_eq!(name(None, one.path()).expect("a name"), first);
        assert_ne!(name(None, other.path()).expect("a name"), first);
        assert_eq!(name(Some("pod-3"), one.path()).expect("a name"), "pod-3");
        std::fs::write(one.path().join(FILE), "two words").expect("written");
        assert!(name(None, one.path()).is_err());
    }
}
